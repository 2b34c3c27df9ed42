package differential

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// frame is a request header of version 1 and a body, with its size in front.
func frame(key, version int16, body []byte) []byte {
	out := binary.BigEndian.AppendUint16(nil, uint16(key))
	out = binary.BigEndian.AppendUint16(out, uint16(version))
	out = binary.BigEndian.AppendUint32(out, 1)
	out = append(out, 0, 3, 'r', 'a', 'w')
	return withSize(append(out, body...))
}

func withSize(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// sample is a whole request as bytes.
func sample(version int16, request kmsg.Request) []byte {
	request.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("raw")).AppendRequest(nil, request, 1)
}

// resized makes the size of a frame that of its bytes again.
func resized(f []byte) []byte { return withSize(f[4:]) }

// metadata is a small good request, to see that a connection still works.
func metadata() []byte {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{}
	return sample(9, request)
}

// rawWithin is how long a broker may take for an answer, or to close, before it counts as one that waits for more.
const rawWithin = 5 * time.Second

// outcome is what a broker does with bytes: so many answers, then it closes or waits for more.
func outcome(t *testing.T, addr string, bytes []byte, closeAfter bool) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, answerWithin)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(bytes); err != nil {
		return "closed"
	}
	if closeAfter {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			return "closed"
		}
	}
	for answers := 0; ; answers++ {
		if err := conn.SetReadDeadline(time.Now().Add(rawWithin)); err != nil {
			t.Fatal(err)
		}
		body, err := readFrame(conn)
		switch {
		case errors.Is(err, errClosed):
			return fmt.Sprintf("%d answers, closed", answers)
		case err != nil:
			return fmt.Sprintf("%d answers, waits", answers)
		case answers > 10:
			return fmt.Sprintf("answers without end, the last of %d bytes", len(body))
		}
	}
}

// rawCase is bytes that are not one good request.
type rawCase struct {
	what       string
	bytes      []byte
	closeAfter bool // the client goes away behind them
}

func rawCases() []rawCase {
	good := metadata()
	size := func(n uint32) []byte { return append(binary.BigEndian.AppendUint32(nil, n), good[4:]...) }
	flexible := sample(12, func() kmsg.Request {
		r := kmsg.NewPtrMetadataRequest()
		r.Topics = []kmsg.MetadataRequestTopic{{Topic: ptr("x")}}
		return r
	}())
	cases := []rawCase{
		{"a good request", good, true},
		{"three good requests at once", slices.Concat(good, good, good), true},
		{"nothing", nil, true},
		{"half a size", good[:2], true},
		{"half a request", good[:len(good)/2], true},
		{"a good one and half of another", slices.Concat(good, good[:len(good)/2]), true},
		{"size 0", size(0), false},
		{"size 1", size(1), false},
		{"size 7", size(7), false},
		{"size -1", size(0xffffffff), false},
		{"the most negative size", size(0x80000000), false},
		{"2 GiB", size(0x7fffffff), false},
		{"100 MiB and one byte", size(104857601), false},
		{"a good one, then 2 GiB", slices.Concat(good, size(0x7fffffff)), false},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), false},
		{"TLS", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), false},
		{"a header cut short", withSize([]byte{0, 3, 0}), false},
		{"a header without client id", withSize([]byte{0, 3, 0, 9, 0, 0, 0, 1}), false},
		{"a client id that is longer than the frame", withSize([]byte{0, 3, 0, 0, 0, 0, 0, 1, 0, 100, 'x'}), false},
		{"a client id of length -2", withSize([]byte{0, 3, 0, 0, 0, 0, 0, 1, 0xff, 0xfe, 0, 0, 0, 0}), false},
		{"no client id", withSize([]byte{0, 3, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0}), true},
		{"a client id that is no UTF-8", withSize([]byte{0, 3, 0, 1, 0, 0, 0, 1, 0, 2, 0xff, 0xfe, 0, 0, 0, 0}), true},
		{"unknown key 95", frame(95, 0, nil), false},
		{"unknown key 200", frame(200, 0, nil), false},
		{"key -1", frame(-1, 0, nil), false},
		{"the largest key", frame(32767, 0, nil), false},
		{"a key of old times", frame(4, 0, make([]byte, 40)), false},
		{"a key of controllers", frame(56, 3, make([]byte, 40)), false},
		{"a good one, then an unknown key", slices.Concat(good, frame(200, 0, nil)), false},
		{"an unknown key, then a good one", slices.Concat(frame(200, 0, nil), good), false},
		{"Metadata of the future", frame(3, 14, make([]byte, 40)), false},
		{"Metadata -1", frame(3, -1, make([]byte, 40)), false},
		{"Fetch of old times", frame(1, 3, make([]byte, 40)), false},
		{"CreateTopics of old times", frame(19, 1, make([]byte, 40)), false},
		{"ApiVersions of the future", frame(18, 99, nil), true},
		{"ApiVersions -1", frame(18, -1, nil), true},
		{"ApiVersions 3 without a body", frame(18, 3, nil), false},
		{"bytes behind the body", resized(append(slices.Clone(good), 1, 2, 3)), true},
		{"an array of -2", frame(3, 1, []byte{0xff, 0xff, 0xff, 0xfe}), false},
		{"an array of 2 billion", frame(3, 1, []byte{0x7f, 0xff, 0xff, 0xff}), false},
		{"an array of one too many", frame(3, 1, []byte{0, 0, 0, 2, 0, 1, 'x'}), false},
		{"a string that is longer than the frame", frame(3, 1, []byte{0, 0, 0, 1, 0x7f, 0xff, 'x'}), false},
		{"a null string where none may be", frame(3, 1, []byte{0, 0, 0, 1, 0xff, 0xff}), false},
		{"a name of bytes that are no UTF-8", frame(3, 4, []byte{0, 0, 0, 1, 0, 2, 0xff, 0xfe, 0}), true},
		{"a compact array without end", frame(3, 9, []byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), false},
		{"a header tag that lies", frame(3, 9, []byte{1, 0, 100, 1, 1, 0, 0, 0, 0}), false},
		{"header tags without end", frame(3, 9, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0, 0, 0, 0}), false},
		{"an unknown header tag", frame(3, 9, []byte{1, 77, 2, 'h', 'i', 1, 0, 0, 0, 0}), true},
		{"an unknown tag", frame(3, 9, []byte{0, 1, 0, 0, 0, 1, 77, 2, 'h', 'i'}), true},
		{"a tag that lies", frame(3, 9, []byte{0, 1, 0, 0, 0, 1, 77, 100, 'h', 'i'}), false},
		{"tags in disorder", frame(3, 9, []byte{0, 1, 0, 0, 0, 2, 77, 1, 'h', 70, 1, 'i'}), true},
		{"a tag twice", frame(3, 9, []byte{0, 1, 0, 0, 0, 2, 77, 1, 'h', 77, 1, 'i'}), true},
		{"acks 0, then a good one", slices.Concat(noAck(), good), true},
		{"a flexible request", flexible, true},
	}
	for n := 4; n < len(flexible); n++ {
		cases = append(cases, rawCase{fmt.Sprintf("a request cut to %d bytes", n-4), resized(flexible[:n]), false})
	}
	return cases
}

// noAck is a Produce that is not answered, whatever becomes of it.
func noAck() []byte {
	request := kmsg.NewPtrProduceRequest()
	request.TimeoutMillis = 1000
	request.Topics = []kmsg.ProduceRequestTopic{{Topic: "no.ack.1", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch{records: some(1)}.encode()}}}}
	return sample(9, request)
}

// Bytes that are no request, or more than one: as many answers, and the connection ends in the same way.
func TestRawBytes(t *testing.T) {
	kafka, ours := pair(t)
	for _, c := range rawCases() {
		t.Run(strings.ReplaceAll(c.what, " ", "-"), func(t *testing.T) {
			t.Parallel()
			want := outcome(t, kafka.Addr, c.bytes, c.closeAfter)
			if got := outcome(t, ours.Addr, c.bytes, c.closeAfter); got != want {
				t.Errorf("Kafka: %s; ours: %s", want, got)
			}
		})
	}
}

// A request of each key, cut at every length: neither broker ever answers it.
func TestCutRequests(t *testing.T) {
	kafka, ours := pair(t)
	s := &session{t: t, name: "Kafka", addr: kafka.Addr, prefix: fmt.Sprintf("cut%d.", time.Now().UnixMilli()), ids: map[string][16]byte{}}
	defer s.close()
	topic := "cut.x"
	records := batch{records: some(1)}.encode()
	requests := map[int16]kmsg.Request{
		0:  &kmsg.ProduceRequest{Acks: -1, Topics: []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: records}}}}},
		1:  s.fetch(4, "x", 0, 0),
		2:  listOffsets(topic, 0, -1),
		3:  &kmsg.MetadataRequest{Topics: []kmsg.MetadataRequestTopic{{Topic: &topic}}},
		19: createTopics(assigned(topic, []int32{7})),
		20: &kmsg.DeleteTopicsRequest{TopicNames: []string{topic}, Topics: []kmsg.DeleteTopicsRequestTopic{{Topic: &topic}}},
		21: &kmsg.DeleteRecordsRequest{Topics: []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{}}}}},
		22: kmsg.NewPtrInitProducerIDRequest(),
		23: &kmsg.OffsetForLeaderEpochRequest{Topics: []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{{}}}}},
		32: describe(ofTopic, topic, "retention.ms"),
		33: replace(ofTopic, topic, change{"retention.ms", 0, ptr("1")}),
		35: &kmsg.DescribeLogDirsRequest{Topics: []kmsg.DescribeLogDirsRequestTopic{{Topic: topic, Partitions: []int32{0}}}},
		37: &kmsg.CreatePartitionsRequest{Topics: []kmsg.CreatePartitionsRequestTopic{{Topic: topic, Count: 2}}},
		44: incremental(ofTopic, topic, change{"retention.ms", set, ptr("1")}),
		60: kmsg.NewPtrDescribeClusterRequest(),
		75: &kmsg.DescribeTopicPartitionsRequest{Topics: []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: topic}}},
	}
	versions := map[int16][2]int16{0: {3, 12}, 1: {4, 12}, 2: {1, 11}, 3: {0, 13}, 19: {2, 7}, 20: {1, 6}, 21: {0, 2}, 22: {0, 5}, 23: {2, 4}, 32: {1, 4}, 33: {0, 2},
		35: {1, 5}, 37: {0, 3}, 44: {0, 1}, 60: {0, 2}, 75: {0, 0}}
	for key, request := range requests {
		for _, version := range versions[key] {
			whole := sample(version, request)
			t.Run(fmt.Sprintf("%02d/v%d", key, version), func(t *testing.T) {
				t.Parallel()
				for n := 4; n < len(whole); n++ {
					cut := resized(whole[:n])
					want := outcome(t, kafka.Addr, cut, false)
					if got := outcome(t, ours.Addr, cut, false); got != want {
						t.Errorf("cut to %d of %d bytes: Kafka: %s; ours: %s", n-4, len(whole)-4, want, got)
						return // the other lengths say the same
					}
				}
			})
		}
	}
}
