package protocol

// Header is a request header. ClientID aliases the frame.
type Header struct {
	Key, Version  int16
	CorrelationID int32
	ClientID      []byte // nil: null
}
