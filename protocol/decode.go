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

// Memory lends what requests decode to.
type Memory interface {
	// Reserve is asked once for each request, before anything is allocated for it, and for no less than that will be. Its error
	// is Decode's.
	Reserve(bytes int) error
}

// Decode reads body into req, which NewRequest made of a version that is in the table. Byte slices of req alias body, strings are
// copies. Every length is checked first: it allocates no more than some 16 times the body and never more than MaxDecoded (see
// layout.go), whatever the body claims, and asks m, unless that is nil. Other errors wrap ErrMalformed.
func Decode(req kmsg.Request, body []byte, m Memory) error {
	api, ok := Lookup(req.Key())
	if v := req.GetVersion(); !ok || v < 0 || v > api.Max {
		return fmt.Errorf("%w: version %d of api key %d", ErrMalformed, v, req.Key())
	}
	cost, err := checkBody(req.Key(), req.GetVersion(), body)
	if err != nil {
		return fmt.Errorf("%s v%d: %w", api.Name, req.GetVersion(), err)
	}
	if m != nil {
		if err := m.Reserve(cost); err != nil {
			return err
		}
	}
	if err := req.ReadFrom(body); err != nil {
		return fmt.Errorf("%w: %s v%d: %w", ErrMalformed, api.Name, req.GetVersion(), err)
	}
	return nil
}
