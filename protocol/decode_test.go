package protocol

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// everyVersion calls fn with every key and version, those below the lowest served one too.
func everyVersion(fn func(a API, version int16)) {
	for _, a := range APIs {
		for v := int16(0); v <= a.Max; v++ {
			fn(a, v)
		}
	}
}

// frame is a request as a client sends it, without the size.
func frame(req kmsg.Request, clientID *string) []byte {
	f := kmsg.NewRequestFormatter()
	if clientID != nil {
		f = kmsg.NewRequestFormatter(kmsg.FormatterClientID(*clientID))
	}
	return f.AppendRequest(nil, req, 77)[4:]
}

// fill sets all fields of a request, deep, at random.
func fill(g *rand.Rand, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(g.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(g.Uint64()))
	case reflect.Uint16:
		v.SetUint(g.Uint64())
	case reflect.Float64:
		v.SetFloat(g.Float64())
	case reflect.String:
		v.SetString(string(bytes.Repeat([]byte("é"), g.IntN(80))))
	case reflect.Pointer:
		if g.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(g, v.Elem(), depth)
		}
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(g.Uint32()))
		}
	case reflect.Slice:
		n := g.IntN(4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			if v.Type().Elem().Kind() == reflect.Uint8 {
				v.Index(i).SetUint(uint64(g.Uint32()))
			} else {
				fill(g, v.Index(i), depth+1)
			}
		}
	case reflect.Struct:
		if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok {
			for range g.IntN(3) {
				tags.Set(100+uint32(g.IntN(1000)), make([]byte, g.IntN(200)))
			}
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "Version" || depth > 0 {
				fill(g, v.Field(i), depth)
			}
		}
	}
}

func requestOf(a API, version int16) kmsg.Request {
	return NewRequest(Header{Key: a.Key, Version: version})
}

func TestLookup(t *testing.T) {
	seen := map[int16]bool{}
	names := map[string]bool{}
	for i, a := range APIs {
		if i > 0 && APIs[i-1].Key >= a.Key {
			t.Errorf("key %d is not behind %d", a.Key, APIs[i-1].Key)
		}
		got, ok := Lookup(a.Key)
		if !ok || got != a || names[a.Name] {
			t.Errorf("lookup of %d: %v %v", a.Key, got, ok)
		}
		req := kmsg.RequestForKey(a.Key)
		if a.Min > a.Max || req == nil || req.MaxVersion() != a.Max {
			t.Errorf("%+v: the codec does not go as far", a)
		}
		seen[a.Key], names[a.Name] = true, true
	}
	for k := -5; k < 300; k++ {
		if _, ok := Lookup(int16(k)); ok != seen[int16(k)] {
			t.Errorf("lookup of %d: %v", k, ok)
		}
	}
	everyVersion(func(a API, v int16) {
		if Flexible(a.Key, v) != requestOf(a, v).IsFlexible() {
			t.Errorf("%s v%d: flexible", a.Name, v)
		}
	})
}

// TestRoundTrip sends every key and version, with defaults and filled at random, through ParseHeader and Decode and back.
func TestRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	g := rand.New(rand.NewPCG(seed, 3))
	id := "a client"
	everyVersion(func(a API, version int16) {
		for i := range 20 {
			req := requestOf(a, version)
			if i > 0 {
				fill(g, reflect.ValueOf(req).Elem(), 0)
			}
			clientID := &id
			if i%2 == 0 {
				clientID = nil
			}
			want := frame(req, clientID)
			h, body, err := ParseHeader(want)
			if err != nil || h.Key != a.Key || h.Version != version || h.CorrelationID != 77 || (h.ClientID == nil) != (clientID == nil) {
				t.Fatalf("%s v%d: header %+v, %v", a.Name, version, h, err)
			}
			got := NewRequest(h)
			if err := Decode(got, body, nil); err != nil {
				t.Fatalf("%s v%d: %v\n%x", a.Name, version, err, want)
			}
			if !bytes.Equal(frame(got, clientID), want) {
				t.Fatalf("%s v%d: decoded to something else", a.Name, version)
			}
			w := walk{reader: reader{b: body}, version: version, flexible: Flexible(a.Key, version), limit: 1 << 40}
			if w.structure(layouts[a.Key]); len(w.b) != 0 || w.bad {
				t.Fatalf("%s v%d: the walk left %d bytes", a.Name, version, len(w.b))
			}
		}
	})
}

// TestTruncated cuts every key and version at every length: always an error, never a panic.
func TestTruncated(t *testing.T) {
	g := rand.New(rand.NewPCG(1, 4))
	id := "x"
	everyVersion(func(a API, version int16) {
		for range 2 {
			req := requestOf(a, version)
			fill(g, reflect.ValueOf(req).Elem(), 0)
			whole := frame(req, &id)
			for n := range whole {
				h, body, err := ParseHeader(whole[:n])
				if err == nil {
					err = Decode(NewRequest(h), body, nil)
				}
				if !errors.Is(err, ErrMalformed) {
					t.Fatalf("%s v%d cut at %d of %d: %v", a.Name, version, n, len(whole), err)
				}
			}
		}
	})
}

// TestMutated overwrites every byte of every key and version with lengths that lie.
func TestMutated(t *testing.T) {
	g := rand.New(rand.NewPCG(1, 5))
	lies := [][]byte{{0xff}, {0x80}, {0x7f}, {0, 0}, {0xff, 0xff}, {0x7f, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff, 0x0f}, {0x80, 0, 0, 0}}
	everyVersion(func(a API, version int16) {
		req := requestOf(a, version)
		fill(g, reflect.ValueOf(req).Elem(), 0)
		whole := frame(req, nil)
		for n := range min(len(whole), 200) {
			for _, lie := range lies {
				bad := bytes.Clone(whole)
				copy(bad[n:], lie)
				h, body, err := ParseHeader(bad)
				if err == nil && h.Version <= APIs[facts[h.Key].api-1].Max {
					err = Decode(NewRequest(h), body, nil)
				}
				if err != nil && !errors.Is(err, ErrMalformed) {
					t.Fatalf("%s v%d at %d: %v", a.Name, version, n, err)
				}
			}
		}
	})
}

// TestDecodeAllocates makes, for every array of every key and version, the bodies that cost most: as many smallest elements as
// there is room for, really there or only claimed. No more is allocated than was reserved, and not much more is reserved.
func TestDecodeAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const room = 32 << 10
	worst, refused := 0.0, 0
	everyVersion(func(a API, version int16) {
		d := dense{version: version, flexible: Flexible(a.Key, version), room: room}
		for d.arrays = 0; ; d.arrays++ {
			for _, lie := range []bool{false, true} {
				d.seen, d.lie = 0, lie
				body := d.structure(nil, layouts[a.Key])
				if d.seen <= d.arrays {
					return
				}
				body = append(body, make([]byte, max(0, room-len(body)))...)
				cost, reserved, err := allocated(requestOf(a, version), body)
				if err != nil {
					refused++
				}
				const noise = 4 << 10 // an error, and what the test itself allocates
				if bound := float64(decodeFactor*len(body) + decodeFloor); reserved > bound || cost > reserved+noise {
					t.Errorf("%s v%d, array %d, lie %v: %d bytes allocate %.0f of %.0f (%v)", a.Name, version, d.arrays, lie, len(body), cost, reserved, err)
				}
				if reserved > 3*cost+decodeFloor {
					t.Errorf("%s v%d, array %d: %.0f bytes are reserved for %.0f", a.Name, version, d.arrays, reserved, cost)
				}
				worst = max(worst, reserved/float64(len(body)))
			}
		}
	})
	t.Logf("%d bodies refused, the worst that was not took %.1f times its size", refused, worst)
}

// reserved counts what Decode asks for.
type reserved struct {
	bytes int
	err   error
}

func (r *reserved) Reserve(bytes int) error {
	r.bytes += bytes
	return r.err
}

// allocated measures what decoding takes, and what was reserved for it.
func allocated(req kmsg.Request, body []byte) (took, asked float64, err error) {
	var before, after runtime.MemStats
	var m reserved
	runtime.ReadMemStats(&before)
	err = Decode(req, body, &m)
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(req)
	return float64(after.TotalAlloc - before.TotalAlloc), float64(m.bytes), err
}

// TestDecodeReserves: what is not lent is not decoded, and no request decodes to more than MaxDecoded.
func TestDecodeReserves(t *testing.T) {
	of := func(topics int) []byte { // a Metadata request, at some 100 bytes a topic
		body := append32(nil, int32(topics))
		for range topics {
			body = appendString(body, "0123456789012345678901234567890123456789", false)
		}
		return append(body, 0)
	}
	h := Header{Key: 3, Version: 4}
	no := reserved{err: errors.New("not now")}
	req := NewRequest(h).(*kmsg.MetadataRequest)
	if err := Decode(req, of(10), &no); err != no.err || req.Topics != nil || no.bytes < 10*32 {
		t.Errorf("%v, %d topics, %d bytes", err, len(req.Topics), no.bytes)
	}
	const most = MaxDecoded / 128
	for _, c := range []struct {
		topics int
		fits   bool
	}{{most, true}, {2 * most, false}} {
		var m reserved
		err := Decode(NewRequest(h), of(c.topics), &m)
		if fits := err == nil && m.bytes > 0; fits != c.fits || !c.fits && !errors.Is(err, ErrMalformed) || m.bytes > MaxDecoded {
			t.Errorf("%d topics: %v, %d bytes", c.topics, err, m.bytes)
		}
	}
}

// dense writes a body by its layout that is empty but for one array, the how manieth it is says arrays.
type dense struct {
	version      int16
	flexible     bool
	lie          bool
	arrays, seen int
	room         int
}

func (d *dense) structure(b []byte, l *layout) []byte {
	for i := range l.fields {
		if f := &l.fields[i]; d.version >= f.min && d.version <= f.max {
			b = d.field(b, f)
		}
	}
	if d.flexible && !l.bare {
		b = append(b, 0)
	}
	return b
}

func (d *dense) field(b []byte, f *wireField) []byte {
	switch f.kind {
	case wireFixed:
		return append(b, make([]byte, f.width)...)
	case wireString:
		return appendString(b, "", d.flexible)
	case wireBytes:
		return appendCount(b, 0, d.flexible)
	case wireStruct:
		if f.nullFrom <= d.version {
			b = append(b, 1)
		}
		return d.structure(b, f.elem)
	}
	d.seen++
	if d.seen-1 > d.arrays {
		return appendCount(b, 0, d.flexible)
	}
	if d.seen-1 < d.arrays { // one element, for there may be arrays in it
		return d.structure(appendCount(b, 1, d.flexible), f.elem)
	}
	seen := d.seen
	elem := d.structure(nil, f.elem)
	d.seen = seen
	n := d.room / len(elem)
	if d.lie {
		return appendCount(b, d.room-100, d.flexible)
	}
	return append(appendCount(b, n, d.flexible), bytes.Repeat(elem, n)...)
}

// TestTagFlood claims four thousand million tagged fields, in header and body, and many that are there.
func TestTagFlood(t *testing.T) {
	flood := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	for _, tags := range [][]byte{flood, append(flood, 1, 0)} {
		head := append([]byte{0, 18, 0, 3, 0, 0, 0, 1, 0xff, 0xff}, tags...)
		if _, _, err := ParseHeader(head); !errors.Is(err, ErrMalformed) {
			t.Error(err)
		}
		body := append([]byte{1, 1}, tags...)
		if err := Decode(NewRequest(Header{Key: 18, Version: 3}), body, nil); !errors.Is(err, ErrMalformed) {
			t.Error(err)
		}
	}
	body := []byte{1, 1}
	body = appendUvarint(body, 20000)
	for i := range 20000 {
		body = append(appendUvarint(body, uint32(i)), 0)
	}
	if err := Decode(NewRequest(Header{Key: 18, Version: 3}), body, nil); !errors.Is(err, ErrMalformed) {
		t.Error("20,000 unknown tagged fields:", err)
	}
}

func TestHeaders(t *testing.T) {
	for _, bad := range [][]byte{
		nil, make([]byte, 7), {0, 4, 0, 0, 0, 0, 0, 1, 0xff, 0xff}, {0xff, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff},
		{0, 3, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xff}, {0, 3, 0, 0, 0, 0, 0, 1, 0x7f, 0xff}, {0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff},
		{0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 1, 0, 5, 0},
	} {
		if h, _, err := ParseHeader(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %+v, %v", bad, h, err)
		}
	}
	// An ApiVersions request from the future can be read up to its body.
	h, body, err := ParseHeader([]byte{0, 18, 0, 99, 0, 0, 0, 1, 0, 1, 'x', 1, 5, 1, 7, 42})
	if err != nil || h.Version != 99 || string(h.ClientID) != "x" || !bytes.Equal(body, []byte{42}) {
		t.Errorf("%+v %x %v", h, body, err)
	}
	if Decode(NewRequest(h), body, nil) == nil {
		t.Error("a version that nobody knows was decoded")
	}
	for _, c := range []struct {
		key, version int16
		want         string
	}{{18, 5, "\x00\x00\x00\x07"}, {18, 0, "\x00\x00\x00\x07"}, {3, 8, "\x00\x00\x00\x07"}, {3, 9, "\x00\x00\x00\x07\x00"}} {
		if got := AppendResponseHeader(nil, c.key, c.version, 7); string(got) != c.want {
			t.Errorf("key %d v%d: %x", c.key, c.version, got)
		}
	}
	if NewRequest(Header{Key: 4}) != nil {
		t.Error("a request of a key that is gone")
	}
}

// FuzzRequest takes any frame for any key and version: an error or a request that comes out again as it went in, but for what
// is ignored.
func FuzzRequest(f *testing.F) {
	g := rand.New(rand.NewPCG(1, 6))
	for _, a := range APIs {
		for _, v := range []int16{a.Min, a.Max} {
			req := requestOf(a, v)
			fill(g, reflect.ValueOf(req).Elem(), 0)
			f.Add(frame(req, nil))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, body, err := ParseHeader(data)
		if err == nil && h.Version <= APIs[facts[h.Key].api-1].Max {
			req := NewRequest(h)
			if err = Decode(req, body, nil); err == nil {
				again := NewRequest(h)
				out := req.AppendTo(nil)
				if err := Decode(again, out, nil); err != nil {
					t.Fatalf("%s v%d does not decode again: %v\n%x", APIs[facts[h.Key].api-1].Name, h.Version, err, out)
				}
			}
		}
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	run := func(name string, req kmsg.Request) {
		whole := frame(req, nil)
		h, body, err := ParseHeader(whole)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/walk", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := checkBody(h.Key, h.Version, body); err != nil {
					b.Fatal()
				}
			}
		})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h, body, _ := ParseHeader(whole)
				if Decode(NewRequest(h), body, nil) != nil {
					b.Fatal()
				}
			}
		})
	}
	p := kmsg.NewPtrProduceRequest()
	p.Version = 13
	p.Topics = []kmsg.ProduceRequestTopic{{Partitions: []kmsg.ProduceRequestTopicPartition{{Records: make([]byte, 1<<20)}}}}
	run("produce", p)
	f := kmsg.NewPtrFetchRequest()
	f.Version = 18
	run("fetch-empty", f)
	f.Topics = []kmsg.FetchRequestTopic{{Partitions: make([]kmsg.FetchRequestTopicPartition, 100)}}
	run("fetch-100", f)
}
