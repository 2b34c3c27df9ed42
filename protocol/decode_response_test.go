package protocol

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// everyResponse is a random response of every key and version, with its body.
func everyResponse(g *rand.Rand, fn func(a API, version int16, resp kmsg.Response, body []byte)) {
	everyVersion(func(a API, version int16) {
		resp := NewResponse(a.Key, version)
		fill(g, reflect.ValueOf(resp).Elem(), 0)
		resp.SetVersion(version)
		fn(a, version, resp, resp.AppendTo(nil))
	})
}

func TestResponseRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	g := rand.New(rand.NewPCG(seed, 2))
	everyResponse(g, func(a API, version int16, _ kmsg.Response, body []byte) {
		again := NewResponse(a.Key, version)
		if err := DecodeResponse(again, body, nil); err != nil {
			t.Errorf("%s v%d: %v", a.Name, version, err)
			return
		}
		if string(again.AppendTo(nil)) != string(body) {
			t.Errorf("%s v%d: another after a round trip", a.Name, version)
		}
		if !Flexible(a.Key, version) {
			return
		}
		at, err := ResponseTags(a.Key, version, body)
		if err != nil || at >= len(body) {
			t.Errorf("%s v%d: tags at %d of %d, %v", a.Name, version, at, len(body), err)
		}
	})
}

// A response that is cut, or in which a byte is another, is refused or decoded, and never takes much memory or panics.
func TestResponseHostile(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	g := rand.New(rand.NewPCG(seed, 3))
	everyResponse(g, func(a API, version int16, _ kmsg.Response, body []byte) {
		for range 20 {
			bad := append([]byte(nil), body[:g.IntN(len(body)+1)]...)
			cut := len(bad) < len(body)
			for range g.IntN(3) {
				if len(bad) > 0 {
					bad[g.IntN(len(bad))], cut = byte(g.Uint32()), false
				}
			}
			err := DecodeResponse(NewResponse(a.Key, version), bad, nil)
			if err != nil && !errors.Is(err, ErrMalformed) || err == nil && cut {
				t.Errorf("%s v%d: %v", a.Name, version, err)
			}
			if Flexible(a.Key, version) {
				if _, err := ResponseTags(a.Key, version, bad); err != nil && !errors.Is(err, ErrMalformed) {
					t.Errorf("%s v%d: %v", a.Name, version, err)
				}
			}
		}
	})
}

func TestResponseBody(t *testing.T) {
	if _, _, err := ResponseBody(3, 12, []byte{0, 0, 0}); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	if id, body, err := ResponseBody(3, 12, []byte{0, 0, 0, 7, 0, 9}); id != 7 || len(body) != 1 || err != nil {
		t.Error(id, body, err)
	}
	if id, body, err := ResponseBody(18, 3, []byte{0, 0, 0, 7, 0, 9}); id != 7 || len(body) != 2 || err != nil {
		t.Error(id, body, err)
	}
}

// A body of lengths that lie is refused before anything is allocated for it.
func TestResponseLies(t *testing.T) {
	body := append([]byte{0, 0, 0, 0}, 0xff, 0xff, 0xff, 0xff, 0x07) // Metadata v9: brokers without end
	var asked reserved
	if err := DecodeResponse(NewResponse(3, 9), append(body, make([]byte, 1<<20)...), &asked); !errors.Is(err, ErrMalformed) || asked.bytes != 0 {
		t.Error(err, asked)
	}
}
