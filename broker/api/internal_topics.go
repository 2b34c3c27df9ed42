package api

import (
	"fmt"

	"weir/protocol"
)

// errUnacked ends the connection of a producer that asked for no answer when its records were not taken: Kafka's way to tell it.
var errUnacked = fmt.Errorf("%w: a produce request with acks=0 failed", protocol.ErrMalformed)

// internalTopic says whether Kafka keeps its own state in a topic of that name.
func internalTopic(name string) bool {
	switch name {
	case "__consumer_offsets", "__transaction_state", "__share_group_state":
		return true
	}
	return false
}
