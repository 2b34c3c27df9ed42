package api

import (
	"fmt"

	"weir/protocol"
)

// errUnacked ends the connection of a producer that asked for no answer when its records were not taken: Kafka's way to tell it.
var errUnacked = fmt.Errorf("%w: a produce request with acks=0 failed", protocol.ErrMalformed)
