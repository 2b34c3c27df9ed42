package protocol

import "errors"

// ErrMalformed is wrapped by every error that says that bytes from outside are not what they should be: the answer is an error
// code where Kafka has one, else the connection is closed. It is never a reason to panic.
var ErrMalformed = errors.New("malformed")
