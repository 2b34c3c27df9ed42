package protocol

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// MaxDecodedResponse bounds what a response decodes to, as MaxDecoded does a request. The largest are Metadata of all topics: a million
// partitions fit.
const MaxDecodedResponse = 256 << 20

// NewResponse makes an empty response to a request of key and version. It is nil for a key that is not in APIs.
func NewResponse(key, version int16) kmsg.Response {
	if _, ok := Lookup(key); !ok {
		return nil
	}
	resp := kmsg.ResponseForKey(key)
	resp.SetVersion(version)
	return resp
}

// ResponseBody splits a response's frame (without its size) into the correlation id and the body, which aliases it. Errors wrap
// ErrMalformed.
func ResponseBody(key, version int16, frame []byte) (correlation int32, body []byte, err error) {
	if len(frame) < 4 {
		return 0, nil, fmt.Errorf("%w: response header of %d bytes", ErrMalformed, len(frame))
	}
	correlation, body = int32(binary.BigEndian.Uint32(frame)), frame[4:]
	if key != int16(kmsg.ApiVersions) && Flexible(key, version) {
		if body, err = skipTags(body); err != nil {
			return correlation, nil, fmt.Errorf("response header: %w", err)
		}
	}
	return correlation, body, nil
}

// DecodeResponse reads body into resp as Decode does with requests.
func DecodeResponse(resp kmsg.Response, body []byte, m Memory) error {
	api, ok := Lookup(resp.Key())
	v := resp.GetVersion()
	if !ok || v < 0 || v > api.Max {
		return fmt.Errorf("%w: version %d of api key %d", ErrMalformed, v, resp.Key())
	}
	cost, err := check(responseLayouts[resp.Key()], resp.Key(), v, body, MaxDecodedResponse)
	if err != nil {
		return fmt.Errorf("%s v%d response: %w", api.Name, v, err)
	}
	if m != nil {
		if err := m.Reserve(cost); err != nil {
			return err
		}
	}
	if err := resp.ReadFrom(body); err != nil {
		return fmt.Errorf("%w: %s v%d response: %w", ErrMalformed, api.Name, v, err)
	}
	return nil
}

// ResponseTags returns where in the body of a flexible response its own tagged fields begin. It walks the body without decoding it.
// Errors wrap ErrMalformed.
func ResponseTags(key, version int16, body []byte) (int, error) {
	api, ok := Lookup(key)
	if !ok || version < 0 || version > api.Max || !Flexible(key, version) {
		return 0, fmt.Errorf("%w: version %d of api key %d", ErrMalformed, version, key)
	}
	w := walk{reader: reader{b: body}, version: version, flexible: true, limit: math.MaxInt}
	if w.untagged(responseLayouts[key]); w.bad || len(w.b) == 0 {
		return 0, fmt.Errorf("%w: %s v%d response: a length in a body of %d bytes is wrong", ErrMalformed, api.Name, version, len(body))
	}
	return len(body) - len(w.b), nil
}
