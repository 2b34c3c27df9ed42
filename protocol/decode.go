package protocol

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// NewRequest makes an empty request for a header, its version set. It is nil for a key that is not in APIs.
func NewRequest(h Header) kmsg.Request {
	if _, ok := Lookup(h.Key); !ok {
		return nil
	}
	req := kmsg.RequestForKey(h.Key)
	req.SetVersion(h.Version)
	return req
}

// Decode reads body into req. Byte slices of req alias body, strings are copies. Errors wrap ErrMalformed.
func Decode(req kmsg.Request, body []byte) error {
	if err := req.ReadFrom(body); err != nil {
		return fmt.Errorf("%w: %s v%d: %w", ErrMalformed, kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return nil
}
