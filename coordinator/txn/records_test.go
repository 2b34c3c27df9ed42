package txn

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"weir/coordinator"
	"weir/protocol"
)

// golden is a record as Kafka writes it.
type golden struct {
	name       string
	key, value []byte
}

// readGolden reads what compat-tests/kafka/TransactionRecords.java printed.
func readGolden(t testing.TB) []golden {
	b, err := os.ReadFile("testdata/records/kafka-4.4.0.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	unhex := func(s string) []byte {
		if s == "null" {
			return nil
		}
		v, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	var out []golden
	for i := 0; i+2 < len(lines); i += 3 {
		out = append(out, golden{lines[i], unhex(lines[i+1]), unhex(lines[i+2])})
	}
	return out
}

// TestRecordsAreKafkas holds that we read Kafka's records and write the same bytes.
func TestRecordsAreKafkas(t *testing.T) {
	all := readGolden(t)
	if len(all) < 30 {
		t.Fatalf("only %d golden records", len(all))
	}
	for _, g := range all {
		id, err := decodeKey(g.key)
		if err != nil {
			t.Errorf("%s: key: %v", g.name, err)
			continue
		}
		if got := appendKey(nil, string(id)); !bytes.Equal(got, g.key) {
			t.Errorf("%s: key %x, want %x", g.name, got, g.key)
		}
		if g.value == nil {
			continue
		}
		v, err := decodeValue(g.value, nil, func(b []byte) string { return string(b) })
		if err != nil {
			t.Errorf("%s: %v", g.name, err)
			continue
		}
		if got := appendValue(nil, &v, int16(g.value[1])); !bytes.Equal(got, g.value) {
			t.Errorf("%s: %x, want %x", g.name, got, g.value)
		}
	}
}

// TestGoldenFields holds that what is read of a record is in the right field: a codec that confuses two of them the same way in both
// directions would pass the test above.
func TestGoldenFields(t *testing.T) {
	want := map[string]value{
		"ongoing level 0": {producerID: 7, prevID: 7, nextID: -1, timeoutMs: 60000, state: ongoing, start: 1234567890000, updated: 1234567890123, parts: []partition{{"topic", 3}}},
		"last epoch of version 2, level 2": {producerID: 7, prevID: 7, nextID: 8, epoch: 32767, timeoutMs: 60000, state: prepareCommit, client: 2, start: 1234567890000,
			updated: 1234567890123, parts: []partition{{"topic", 3}}},
		"rotated of version 2, level 2": {producerID: 8, prevID: 7, nextID: -1, timeoutMs: 60000, state: completeCommit, client: 2, start: 1234567890000, updated: 1234567890123},
		"empty level 1":                 {producerID: 7, prevID: 7, nextID: -1, timeoutMs: 60000, state: empty, start: -1, updated: 1234567890123},
	}
	for _, g := range readGolden(t) {
		w, ok := want[g.name]
		if !ok {
			continue
		}
		delete(want, g.name)
		if got, err := decodeValue(g.value, nil, func(b []byte) string { return string(b) }); err != nil || !reflect.DeepEqual(got, w) {
			t.Errorf("%s: %+v, %v, want %+v", g.name, got, err, w)
		}
	}
	if len(want) > 0 {
		t.Errorf("not there: %v", want)
	}
}

// TestBadRecords holds that a damaged record is an error and leaves the state as it was, however it is damaged.
func TestBadRecords(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, g := range readGolden(t) {
		m := New(testConfig(), defaultMetadata, 1)
		at := coordinator.At{ProducerID: -1}
		if err := m.Replay(at, coordinator.Record{Key: g.key, Value: g.value}); err != nil {
			t.Fatal(err)
		}
		before := hardState(m)
		for n := range g.key {
			if err := m.Replay(at, coordinator.Record{Key: g.key[:n], Value: g.value}); !errors.Is(err, protocol.ErrMalformed) {
				t.Errorf("%s: %d bytes of the key: %v", g.name, n, err)
			}
		}
		for n := range g.value {
			if err := m.Replay(at, coordinator.Record{Key: g.key, Value: g.value[:n]}); !errors.Is(err, protocol.ErrMalformed) {
				t.Errorf("%s: %d bytes of the value: %v", g.name, n, err)
			}
		}
		if after := hardState(m); after != before {
			t.Errorf("%s: %s, was %s", g.name, after, before)
		}
		for range 200 {
			x := New(testConfig(), defaultMetadata, 1)
			k, v := slices.Clone(g.key), slices.Clone(g.value)
			for range 1 + r.Intn(3) {
				if b := [][]byte{k, v}[r.Intn(2)]; len(b) > 0 {
					b[r.Intn(len(b))] = byte(r.Intn(256))
				}
			}
			if x.Replay(at, coordinator.Record{Key: k, Value: v}) == nil {
				x.Elected(1000)
			}
		}
	}
	m := New(testConfig(), defaultMetadata, 1)
	if err := m.Replay(coordinator.At{}, coordinator.Record{Key: []byte{0, 1, 0, 1, 'x'}, Value: []byte{0, 0}}); !errors.Is(err, errUnknown) {
		t.Errorf("a record of another type: %v", err)
	}
	huge := append(append64(append16(nil, 1), 7), 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x07)
	if err := m.Replay(coordinator.At{}, coordinator.Record{Key: appendKey(nil, "x"), Value: huge}); !errors.Is(err, protocol.ErrMalformed) {
		t.Errorf("a length of 2 GiB: %v", err)
	}
}

// FuzzReplay holds that no bytes of the log panic, and that what is taken is written again as the same.
func FuzzReplay(f *testing.F) {
	for _, g := range readGolden(f) {
		f.Add(g.key, g.value)
	}
	f.Fuzz(func(t *testing.T, key, val []byte) {
		m := New(testConfig(), defaultMetadata, 1)
		if m.Replay(coordinator.At{}, coordinator.Record{Key: key, Value: val}) != nil {
			return
		}
		state := hardState(m)
		for id, x := range m.txns {
			again := New(testConfig(), defaultMetadata, 1)
			if err := again.Replay(coordinator.At{}, coordinator.Record{Key: appendKey(nil, id), Value: appendValue(nil, &x.value, 1)}); err != nil {
				t.Fatal(err)
			}
			if got := hardState(again); got != state {
				t.Fatalf("%s, was %s", got, state)
			}
		}
		m.Elected(1000)
		m.Expired(1000, coordinator.TimerKey{Kind: timerMarkers})
		m.Expired(1<<60, coordinator.TimerKey{Kind: timerAbort})
	})
}
