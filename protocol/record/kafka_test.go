package record

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"weir/protocol"
)

// kafkaCase is a record set, the settings, and what Kafka 4.4.0 said. testdata/ValidateOracle.java makes them.
type kafkaCase struct {
	recs    []byte
	o       Options
	code    protocol.Code
	errs    string // indexes of the refused records, or - where there is no such list
	max     int64
	changed bool
	out     []byte
}

func parseCase(t *testing.T, line string) (c kafkaCase) {
	f := strings.Split(line, " ")
	num := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(strings.TrimPrefix(s, "."))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	c.recs = unhex(f[0])
	target, err := ParseTarget(f[8], -1, 9, 3)
	if err != nil {
		t.Fatal(err)
	}
	c.o = Options{ProduceVersion: int16(num(f[1])), Compacted: f[2] == "true", LogAppendTime: f[3] == "true", NowMs: 1_700_000_000_000,
		BeforeMaxMs: num(f[4]), AfterMaxMs: num(f[5]), MaxMessageBytes: int32(num(f[6])), MaxRecordBytes: int32(num(f[7])), Target: target}
	if c.o.MaxRecordBytes == 0 {
		c.o.MaxRecordBytes = 1 // 0 is no limit here, and no record is as small as one byte
	}
	c.code = protocol.Code(num(f[9]))
	if c.code == protocol.None {
		c.max, c.changed, c.out = num(f[10]), f[12] == "1", unhex(f[13])
	} else {
		c.errs = f[10]
	}
	return c
}

// TestValidateIsKafkas takes record sets, good and mutated, of all codecs and settings, to the verdict and the bytes of Kafka.
// KAFKA_CASES names a larger file than the one that is kept.
func TestValidateIsKafkas(t *testing.T) {
	var r io.Reader
	if name := os.Getenv("KAFKA_CASES"); name != "" {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r = f
	} else {
		b, err := os.ReadFile("testdata/validate.txt.gz")
		if err != nil {
			t.Fatal(err)
		}
		if r, err = gzip.NewReader(bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	n, bad := 0, 0
	for ; lines.Scan(); n++ {
		c := parseCase(t, lines.Text())
		if diff := c.run(); diff != "" {
			if bad++; bad < 12 {
				t.Errorf("case %d: %s\n%s", n, diff, lines.Text())
			}
		}
	}
	t.Logf("%d cases, %d differ", n, bad)
	if n == 0 {
		t.Error("no cases")
	}
}

// run says how the verdict differs from Kafka's.
func (c *kafkaCase) run() string {
	out, set, err := Validate(bytes.Clone(c.recs), c.o)
	if err != nil {
		errs := "-"
		if err.Records != nil {
			var b []string
			for _, r := range err.Records {
				b = append(b, fmt.Sprint(r.Index))
			}
			errs = strings.Join(b, ",")
		}
		if c.tolerated(err) {
			return ""
		}
		if err.Code != c.code || errs != c.errs || (err.Message != "") != (errs != "-") {
			return fmt.Sprintf("%v, records %s; Kafka says %v, %s", err, errs, c.code, c.errs)
		}
		return ""
	}
	if c.code != protocol.None {
		return fmt.Sprintf("accepted; Kafka says %v %s", c.code, c.errs)
	}
	next := Assign(out, 1000, 5)
	set = set.At(1000, 5)
	if set.Base != 1000 || set.Next != next || set.MaxTimestamp != c.max || int64(set.Records) != next-1000 || set.LeaderEpoch != 5 {
		return fmt.Sprintf("set %+v; Kafka has max %d", set, c.max)
	}
	if got, s, err := Check(out); err != nil || len(got) != len(out) || s.Next != set.Next || s.MaxTimestamp != set.MaxTimestamp {
		return fmt.Sprintf("a follower refuses it: %+v %v", s, err)
	}
	if !c.changed && bytes.Equal(out, c.out) {
		return ""
	}
	got, want := contents(out), contents(c.out)
	if got != want || (!c.changed && inOrder(c.out)) {
		return fmt.Sprintf("appended\n%s\nKafka appends\n%s", got, want)
	}
	return ""
}

// tolerated says where a refusal may be another than Kafka's: in malformed compressed records, which Kafka reads as a stream, so that
// what is wrong first decides; in the size that a codec of another make comes to; and in what is shorter than a header.
func (c *kafkaCase) tolerated(err *Error) bool {
	b := Batch(c.recs)
	switch {
	case len(b) < HeaderSize || b.Size() < HeaderSize:
		return c.code != protocol.None
	case c.o.Target.Recompress && strings.Contains(err.detail, "when compressed with"):
		return true
	case b.Codec() != Uncompressed:
		return strings.Contains(err.detail, "not well formed") || strings.Contains(err.detail, "malformed") || strings.Contains(err.detail, "decompresses")
	}
	return c.o.Target.Recompress && strings.Contains(err.detail, "not well formed") && c.code != protocol.None
}

// inOrder says whether all offset deltas are what they should be.
func inOrder(b Batch) bool {
	next, ok := b.BaseOffset(), true
	Records(b, func(r *Record) bool {
		ok = ok && r.Offset == next
		next++
		return ok
	})
	return ok && next == b.NextOffset()
}

// contents is what a consumer sees of a batch, but for the offsets of records, which Kafka leaves wrong where a plain batch had
// them wrong.
func contents(b Batch) string {
	var s strings.Builder
	fmt.Fprintln(&s, b.BaseOffset(), b.NextOffset(), b.LeaderEpoch(), b.Attributes()&0x7f, b.MaxTimestamp(), b.ProducerID(), b.ProducerEpoch(),
		b.BaseSequence(), b.Count(), b.CheckCRC())
	err := Records(b, func(r *Record) bool {
		fmt.Fprintf(&s, "%d %x %v %x %v", r.Timestamp, r.Key, r.Key == nil, r.Value, r.Value == nil)
		r.EachHeader(func(k, v []byte) bool {
			fmt.Fprintf(&s, " %x=%x %v", k, v, v == nil)
			return true
		})
		fmt.Fprintln(&s)
		return true
	})
	fmt.Fprintln(&s, err)
	return s.String()
}
