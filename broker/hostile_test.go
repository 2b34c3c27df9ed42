package broker_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// hostileFrame is what no client sends.
type hostileFrame struct {
	name  string
	bytes []byte
}

// hostileFrames close their connection, without an answer and with one log line.
func hostileFrames() []hostileFrame {
	size := func(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	frame := func(key, version int16, rest ...byte) []byte {
		h := binary.BigEndian.AppendUint16(nil, uint16(key))
		h = binary.BigEndian.AppendUint16(h, uint16(version))
		return sized(append(append(h, 0, 0, 0, 7), rest...))
	}
	metadata := int16(kmsg.Metadata)
	return []hostileFrame{
		{"size -1", size(-1)},
		{"size -2 GiB", size(math.MinInt32)},
		{"size 2 GiB", size(math.MaxInt32)},
		{"size one above socket.request.max.bytes", size(100<<20 + 1)},
		{"an HTTP request", []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")},
		{"a TLS hello", []byte{0x16, 3, 1, 0, 0xff, 1, 0, 0, 0xfb, 3, 3}},
		{"no frame at all", size(0)},
		{"key only", sized([]byte{0, 3})},
		{"header without a client id", frame(metadata, 1)},
		{"half of the client id's length", frame(metadata, 1, 0)},
		{"client id beyond the frame", frame(metadata, 1, 0, 5, 'a')},
		{"longest client id", frame(metadata, 1, 0x7f, 0xff, 'a')},
		{"header tags beyond the frame", frame(metadata, 9, 0xff, 0xff, 1)},
		{"2^32 header tags", frame(metadata, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f)},
		{"header tag of 2 GiB", frame(metadata, 9, 0xff, 0xff, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x07)},
		{"a varint without an end", frame(metadata, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)},
		{"unknown key -1", sized(header(-1, 0, 7, ""))},
		{"key 4 of old brokers", sized(header(4, 0, 7, ""))},
		{"unknown key 1000", sized(header(1000, 0, 7, ""))},
		{"unknown key 32767", sized(header(math.MaxInt16, math.MaxInt16, 7, ""))},
		{"a controller's key on a client's listener", sized(header(int16(kmsg.Vote), 0, 7, ""))},
		{"unknown version", sized(header(metadata, 99, 7, ""))},
		{"version -1", sized(header(metadata, -1, 7, ""))},
		{"a version below the lowest", sized(header(int16(kmsg.Fetch), 3, 7, ""))},
		{"produce v2, advertised and refused", sized(header(int16(kmsg.Produce), 2, 7, ""))},
		{"array of 2^31-1 topics", sized(append(header(metadata, 1, 7, ""), 0x7f, 0xff, 0xff, 0xff))},
		{"compact array of 2^32-2 topics", sized(append(header(metadata, 9, 7, ""), 0xff, 0xff, 0xff, 0xff, 0x0f))},
		{"string beyond the frame", sized(append(header(metadata, 1, 7, ""), 0, 0, 0, 1, 0x7f, 0xff, 'a'))},
		{"null string where there must be one", sized(append(header(metadata, 1, 7, ""), 0, 0, 0, 1, 0xff, 0xff))},
		{"body tags beyond the frame", sized(append(header(metadata, 9, 7, ""), 0, 1, 0, 0, 1, 5, 0x7f, 1))},
		{"no body", sized(header(metadata, 9, 7, ""))},
	}
}

// TestHostileFrames sends each of them. Others notice nothing.
func TestHostileFrames(t *testing.T) {
	b := newTCPBed(t)
	w := b.witness(t)
	for _, c := range hostileFrames() {
		t.Run(c.name, func(t *testing.T) {
			before := len(b.log.troubles(0))
			nc := b.dial(t)
			defer nc.Close()
			nc.Write(c.bytes) // the broker may close before it has read all
			got, err := io.ReadAll(nc)
			if err != nil && !reset(err) {
				t.Fatalf("the connection stays open: %v", err)
			}
			if len(got) > 0 {
				t.Errorf("the broker answers % x, want it to close", got)
			}
			if b.log != nil {
				if said := b.log.troubles(before); len(said) != 1 {
					t.Errorf("%d log lines, want one: %q", len(said), said)
				}
			}
			w.check(t)
		})
	}
}

// TestHostileUnknownVersions: ApiVersions is the one key that answers a version it does not know (KIP-511).
func TestHostileUnknownVersions(t *testing.T) {
	b := newTCPBed(t)
	for _, version := range []int16{6, 99, math.MaxInt16} {
		for _, body := range [][]byte{nil, {0}, bytes.Repeat([]byte{0xff}, 40)} {
			got := b.send(t, sized(append(header(int16(kmsg.ApiVersions), version, 7, "x"), body...)))
			if len(got) < 4 {
				t.Fatalf("v%d with % x: no answer", version, body)
			}
			req := kmsg.NewPtrApiVersionsRequest() // the answer is in version 0
			resp, err := decode(req, got[4:], 7)
			if err != nil {
				t.Fatal(err)
			}
			r := resp.(*kmsg.ApiVersionsResponse)
			if code := protocol.Code(r.ErrorCode); code != protocol.UnsupportedVersion {
				t.Errorf("v%d: %v", version, code)
			}
			if len(r.ApiKeys) == 0 {
				t.Errorf("v%d: the answer does not say which versions there are", version)
			}
		}
	}
}

// TestHostileNeighbours pipelines good requests before a bad one on one connection: the good ones are answered, in order.
func TestHostileNeighbours(t *testing.T) {
	b := newTCPBed(t)
	w := b.witness(t)
	var all []byte
	for i := range int32(20) {
		all = append(all, sized(encode(produceRequest(9, "witness", goodBatch()), i))...)
		w.next += 3
	}
	all = append(all, sized(header(int16(kmsg.Metadata), 99, 20, ""))...)
	nc := b.dial(t)
	defer nc.Close()
	if _, err := nc.Write(all); err != nil {
		t.Fatal(err)
	}
	for i := range int32(20) {
		frame, err := readFrame(nc)
		if b.log == nil && err != nil {
			t.Skipf("this broker drops what is in flight (answer %d: %v)", i, err)
		}
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if _, err := decode(produceRequest(9, "", nil), frame, i); err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
	}
	if rest, err := io.ReadAll(nc); len(rest) > 0 || err != nil && !reset(err) {
		t.Errorf("after the bad request: %d bytes and %v, want a closed connection", len(rest), err)
	}
	w.check(t)
}
