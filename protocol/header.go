package protocol

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Header is a request header. ClientID aliases the frame.
type Header struct {
	Key, Version  int16
	CorrelationID int32
	ClientID      []byte // nil: null
}

// keyFacts is what the hot path asks of a key, found by index.
type keyFacts struct {
	api      int16 // index into APIs plus one, 0: no such key
	flexible int16 // first flexible version, beyond Max where there is none
}

var facts = buildFacts()

// buildFacts asks kmsg once which versions are flexible, so that no second table can disagree with the codecs.
func buildFacts() []keyFacts {
	all := make([]keyFacts, APIs[len(APIs)-1].Key+1)
	for i, a := range APIs {
		f := keyFacts{api: int16(i + 1), flexible: a.Max + 1}
		req := kmsg.RequestForKey(a.Key)
		for v := int16(0); v <= a.Max; v++ {
			if req.SetVersion(v); req.IsFlexible() {
				f.flexible = v
				break
			}
		}
		all[a.Key] = f
	}
	return all
}

// Lookup finds the API of a key in constant time.
func Lookup(key int16) (API, bool) {
	if key < 0 || int(key) >= len(facts) || facts[key].api == 0 {
		return API{}, false
	}
	return APIs[facts[key].api-1], true
}

// Flexible says whether a version of a key uses compact forms and tagged fields (KIP-482). It answers for versions above the
// highest known one too, as Kafka does: an ApiVersions request from the future still has a header that can be read.
func Flexible(key, version int16) bool {
	return key >= 0 && int(key) < len(facts) && facts[key].api != 0 && version >= facts[key].flexible
}

// ParseHeader splits a frame (without its size) into the request header and the body, which alias it. It takes any version of a
// known key: whether it is served is the caller's question, who must be able to answer an ApiVersions request of any version.
// Where the key is unknown or something behind the correlation id is wrong, h still has what could be read. Errors wrap
// ErrMalformed.
func ParseHeader(frame []byte) (h Header, body []byte, err error) {
	if len(frame) < 8 {
		return h, nil, fmt.Errorf("%w: request header of %d bytes", ErrMalformed, len(frame))
	}
	h.Key = int16(binary.BigEndian.Uint16(frame))
	h.Version = int16(binary.BigEndian.Uint16(frame[2:]))
	h.CorrelationID = int32(binary.BigEndian.Uint32(frame[4:]))
	if _, ok := Lookup(h.Key); !ok {
		return h, nil, fmt.Errorf("%w: unknown api key %d", ErrMalformed, h.Key)
	}
	if h.Version < 0 && h.Key != 18 { // of ApiVersions any version is answered
		return h, nil, fmt.Errorf("%w: version %d of api key %d", ErrMalformed, h.Version, h.Key)
	}
	// Request header v0, without a client id, was ControlledShutdown v0's only; Kafka 4 has neither.
	body = frame[8:]
	if len(body) < 2 {
		return h, nil, fmt.Errorf("%w: request header ends before the client id", ErrMalformed)
	}
	n := int(int16(binary.BigEndian.Uint16(body)))
	body = body[2:]
	if n > len(body) {
		return h, nil, fmt.Errorf("%w: client id of %d bytes with %d left", ErrMalformed, n, len(body))
	}
	if n >= 0 {
		// The client id is never compact: a client sends it before it knows what the broker understands.
		h.ClientID, body = body[:n:n], body[n:]
	}
	if Flexible(h.Key, h.Version) {
		if body, err = skipTags(body); err != nil {
			return h, nil, fmt.Errorf("request header: %w", err)
		}
	}
	return h, body, nil
}

// skipTags drops a block of tagged fields. The loop ends with the bytes, whatever count the block claims.
func skipTags(b []byte) ([]byte, error) {
	r := reader{b: b}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		r.uvarint()
		r.skip(uint64(r.uvarint()))
	}
	if r.bad {
		return nil, fmt.Errorf("%w: tagged fields end beyond the frame", ErrMalformed)
	}
	return r.b, nil
}

// AppendResponseHeader appends the response header of a request of key and version: the correlation id and, for flexible
// versions, an empty tag block. ApiVersions answers with header v0 always, so that any client can read it (KIP-511).
func AppendResponseHeader(dst []byte, key, version int16, correlation int32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlation))
	if key != int16(kmsg.ApiVersions) && Flexible(key, version) {
		dst = append(dst, 0)
	}
	return dst
}
