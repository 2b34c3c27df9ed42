package protocol

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// trickle is a stream of which no more is there than was asked for.
type trickle struct {
	b    []byte
	took int
}

func (s *trickle) Peek(n int) ([]byte, error) {
	if n > len(s.b)-s.took {
		return nil, io.ErrUnexpectedEOF
	}
	return s.b[s.took : s.took+n], nil
}

func (s *trickle) Pass(n int) error {
	if n > len(s.b)-s.took {
		return io.ErrUnexpectedEOF
	}
	s.took += n
	return nil
}

// The scan of a stream and the walk of a body find the same place, and refuse the same.
func TestScanResponse(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	g := rand.New(rand.NewPCG(seed, 4))
	everyResponse(g, func(a API, version int16, _ kmsg.Response, body []byte) {
		if !Flexible(a.Key, version) {
			if _, err := ScanResponse(a.Key, version, len(body), &trickle{b: body}); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s v%d: %v", a.Name, version, err)
			}
			return
		}
		for i := range 20 {
			b := bytes.Clone(body)
			if i > 0 {
				b[g.IntN(len(b))] = byte(g.Uint32())
			}
			want, wantErr := ResponseTags(a.Key, version, b)
			s := &trickle{b: b}
			left, err := ScanResponse(a.Key, version, len(b), s)
			if (err == nil) != (wantErr == nil) && i == 0 {
				t.Fatalf("%s v%d: %v, %v", a.Name, version, err, wantErr)
			}
			if err == nil && wantErr == nil && (len(b)-left != want || s.took != want) {
				t.Errorf("%s v%d: took %d, left %d of %d, want %d", a.Name, version, s.took, left, len(b), want)
			}
			if err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%s v%d: %v", a.Name, version, err)
			}
		}
	})
}
