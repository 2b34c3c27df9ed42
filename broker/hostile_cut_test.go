package broker_test

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/api"
	"weir/protocol"
	"weir/protocol/record"
)

// filled is a request of a served key with something in every field, the topic "hostile" where a topic has a name.
func filled(key, version int16, records []byte) kmsg.Request {
	r := kmsg.RequestForKey(key)
	r.SetVersion(version)
	fill(reflect.ValueOf(r).Elem(), "", records)
	r.SetVersion(version)
	if q, ok := r.(*kmsg.UnregisterBrokerRequest); ok {
		q.BrokerID = 77 // the broker that is tested stays
	}
	return r
}

// fill puts something into v, which is the field name of a request, and into everything below it.
func fill(v reflect.Value, name string, records []byte) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Name != "UnknownTags" && v.Field(i).CanSet() {
				fill(v.Field(i), f.Name, records)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(records)
			return
		}
		s := reflect.MakeSlice(v.Type(), 2, 2)
		for i := range 2 {
			fill(s.Index(i), name, records)
		}
		v.Set(s)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), name, records)
	case reflect.String:
		v.SetString("hostile")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		switch name {
		case "Partition", "Partitions", "Index":
			v.SetInt(0)
		case "ReplicaID", "CurrentLeaderEpoch":
			v.SetInt(-1)
		default:
			v.SetInt(1)
		}
	case reflect.Float64:
		v.SetFloat(1)
	}
}

// eachRequest calls fn with a filled request of every served key, in its lowest and highest version, in the one before it became
// flexible, and in the first flexible one.
func eachRequest(fn func(name string, r kmsg.Request)) {
	for _, e := range api.Entries() {
		if e == nil {
			continue
		}
		for v := int16(0); v <= e.API.Max; v++ {
			edge := v == e.API.Min || v == e.API.Max || !e.Accepts(v-1) ||
				protocol.Flexible(e.Key, v+1) != protocol.Flexible(e.Key, v) || protocol.Flexible(e.Key, v) != protocol.Flexible(e.Key, v-1)
			if edge && e.Accepts(v) {
				fn(fmt.Sprintf("%s v%d", e.API.Name, v), filled(e.Key, v, tinyBatch()))
			}
		}
	}
}

// tinyBatch is the shortest batch a producer may send.
func tinyBatch() []byte {
	var b record.Builder
	b.Add(1, nil, []byte("x"))
	return b.Bytes()
}

// TestHostileCuts sends every request cut short at every length, once as a frame of that length and once as a frame that promises
// all of it and stops. The first closes the connection with one log line, the second without; there is no answer to either.
func TestHostileCuts(t *testing.T) {
	b := newUnixBed(t)
	w := b.witness(t)
	cuts := 0
	eachRequest(func(name string, r kmsg.Request) {
		whole := encode(r, 7)
		for n := range whole {
			before := len(b.log.troubles(0))
			if got := b.send(t, sized(whole[:n])); len(got) > 0 {
				t.Errorf("%s cut at %d of %d bytes is answered: % x", name, n, len(whole), got)
			}
			if said := b.log.troubles(before); len(said) != 1 {
				t.Errorf("%s cut at %d of %d bytes: %d log lines, want one: %q", name, n, len(whole), len(said), said)
			}
			if n%7 == 0 { // one of seven: the reader does not look at what is in the frame
				if got := b.send(t, sized(whole)[:4+n]); len(got) > 0 {
					t.Errorf("%s stopped at %d of %d bytes is answered: % x", name, n, len(whole), got)
				}
				if said := b.log.troubles(before + 1); len(said) != 0 {
					t.Errorf("%s stopped at %d of %d bytes: %q, want no log line", name, n, len(whole), said)
				}
			}
			cuts++
		}
		if t.Failed() {
			t.FailNow()
		}
		w.check(t)
	})
	if cuts < 1000 {
		t.Errorf("only %d cuts were tried: is the table empty?", cuts)
	}
}

// TestHostileLies sends every request with each run of bytes replaced by what is the largest, the most negative or an endless number.
// Whatever it then says, the broker answers or closes; it does not panic, wait or disturb others.
func TestHostileLies(t *testing.T) {
	b := newUnixBed(t)
	w := b.witness(t)
	lies := [][]byte{{0x7f, 0xff, 0xff, 0xff}, {0x80, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff, 0x0f}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, {0xff, 0xff}}
	eachRequest(func(name string, r kmsg.Request) {
		whole := encode(r, 7)
		for at := 8; at < len(whole); at++ { // the key and version are TestHostileFrames'
			for _, lie := range lies {
				b.lie(t, name, r, whole, at, lie)
			}
		}
		w.check(t)
	})
}

// lie sends whole with lie at a place. What comes back is nothing or one frame that answers r.
func (b *bed) lie(t *testing.T, name string, r kmsg.Request, whole []byte, at int, lie []byte) {
	t.Helper()
	frame := append([]byte(nil), whole...)
	if copy(frame[at:], lie) < len(lie) {
		return
	}
	answer := b.send(t, sized(frame))
	if len(answer) == 0 {
		return
	}
	if n := binary.BigEndian.Uint32(answer); int(n) != len(answer)-4 {
		t.Fatalf("%s with % x at %d: an answer of %d bytes says it has %d", name, lie, at, len(answer)-4, n)
	}
	correlation := int32(binary.BigEndian.Uint32(frame[4:]))
	if _, err := decode(r, answer[4:], correlation); err != nil {
		t.Fatalf("%s with % x at %d: the answer cannot be read: %v", name, lie, at, err)
	}
}
