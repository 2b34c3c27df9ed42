package compat

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"strconv"
	"testing"
	"time"
)

// epoch is the time of the first record of a fixture: old enough to be no append time, young enough to be kept.
var epoch = time.Now().Add(-time.Hour).Truncate(time.Millisecond)

// mixed is n records over partitions with all the shapes that a record can have: null and empty keys and values, tombstones,
// headers with equal keys, null and empty header values, and times one second apart.
func mixed(n int, partitions int32) []Record {
	records := make([]Record, n)
	for i := range records {
		r := &records[i]
		r.Partition = int32(i) % partitions
		r.Time = epoch.Add(time.Duration(i) * time.Second)
		r.Key = []byte("key-" + strconv.Itoa(i))
		r.Value = bytes.Repeat([]byte(strconv.Itoa(i)+" "), 1+i%40)
		switch i / int(partitions) % 7 {
		case 1:
			r.Key = nil
		case 2:
			r.Key = []byte{}
		case 3:
			r.Value = nil
		case 4:
			r.Value = []byte{}
		case 5:
			r.Headers = []Header{{"h", []byte("1")}, {"h", []byte("2")}, {"empty", []byte{}}, {"null", nil}, {"", []byte("no name")}}
		case 6:
			r.Headers = []Header{{"trace", bytes.Repeat([]byte{0xff}, 300)}}
		}
	}
	return records
}

// sized is n records of random printable bytes.
func sized(n, size int, partitions int32) []Record {
	random := rand.New(rand.NewSource(int64(n)))
	records := make([]Record, n)
	for i := range records {
		value := make([]byte, size)
		random.Read(value)
		for j := range value {
			value[j] = 'a' + value[j]&15
		}
		records[i] = Record{Partition: int32(i) % partitions, Key: fmt.Appendf(nil, "%d", i), Value: value, Time: epoch.Add(time.Duration(i) * time.Millisecond)}
	}
	return records
}

// ofPartition is what a partition must hold when records were all that was sent to it.
func ofPartition(records []Record, partition int32) []Record {
	var of []Record
	for _, r := range records {
		if r.Partition == partition {
			of = append(of, r)
		}
	}
	return of
}

// checkRead reads every partition with every client and compares with what was sent.
func checkRead(t *testing.T, b *Broker, topic string, sent []Record, partitions int32) {
	t.Helper()
	for _, c := range Clients() {
		for p := range partitions {
			checkPartition(t, c, b, topic, p, ofPartition(sent, p))
		}
	}
}

func checkPartition(t *testing.T, c Client, b *Broker, topic string, partition int32, want []Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got, err := c.Consume(ctx, b.Addr, topic, partition, 0, len(want))
	if err != nil {
		t.Errorf("%s reads partition %d: %v", c.Name(), partition, err)
		return
	}
	for i := range want {
		if want[i].Offset != int64(i) {
			t.Fatalf("record %d of partition %d was acknowledged at offset %d", i, partition, want[i].Offset)
		}
		if diff := difference(c, want[i], got[i]); diff != "" {
			t.Fatalf("%s reads partition %d, record %d: %s", c.Name(), partition, i, diff)
		}
	}
}

// difference says in what a record differs from the one that was sent; null and empty apart where the client tells.
func difference(c Client, want, got Record) string {
	same := func(a, b []byte) bool {
		return bytes.Equal(a, b) && (!c.TellsNullFromEmpty() || (a == nil) == (b == nil))
	}
	switch {
	case got.Partition != want.Partition || got.Offset != want.Offset:
		return fmt.Sprintf("is %d-%d, want %d-%d", got.Partition, got.Offset, want.Partition, want.Offset)
	case !same(want.Key, got.Key):
		return fmt.Sprintf("key %s, want %s", show(got.Key), show(want.Key))
	case !same(want.Value, got.Value):
		return fmt.Sprintf("value %s, want %s", show(got.Value), show(want.Value))
	case !want.Time.IsZero() && !got.Time.Equal(want.Time):
		return fmt.Sprintf("time %v, want %v", got.Time, want.Time)
	case len(got.Headers) != len(want.Headers):
		return fmt.Sprintf("headers %v, want %v", got.Headers, want.Headers)
	}
	for i, h := range want.Headers {
		if g := got.Headers[i]; g.Key != h.Key || !same(h.Value, g.Value) {
			return fmt.Sprintf("header %d is %s=%s, want %s=%s", i, g.Key, show(g.Value), h.Key, show(h.Value))
		}
	}
	return ""
}

func show(b []byte) string {
	if b == nil {
		return "null"
	}
	if len(b) > 40 {
		return fmt.Sprintf("%q and %d more", b[:40], len(b)-40)
	}
	return fmt.Sprintf("%q", b)
}
