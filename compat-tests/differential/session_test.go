package differential

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const answerWithin = 30 * time.Second

// session is one run of one case against one broker. It keeps every answer, for the other broker's to be compared with.
type session struct {
	t       *testing.T
	name    string // of the broker
	addr    string
	prefix  string // of topic names: the same for both brokers, new for each run of a case
	start   int64  // the time of the first record, the same for both brokers
	conn    net.Conn
	counter int32
	answers []answer
	ids     map[string][16]byte // topic ids, which differ
	groups  map[string]bool     // whose coordinator knows the topics
}

// answer is what came back for one request, or why nothing did.
type answer struct {
	what    string // the step
	key     int16
	version int16
	body    kmsg.Response // nil where err says why
	err     error
}

var errClosed = errors.New("the connection was closed")

// topic is the full name of a case's topic.
func (s *session) topic(name string) string { return s.prefix + name }

// ask sends a request and keeps the answer under a name. Nil comes back when the connection was closed instead; the next request
// gets a new one.
func (s *session) ask(what string, version int16, request kmsg.Request) kmsg.Response {
	s.t.Helper()
	response, err := s.send(version, request)
	for tries := 0; loading(response) && tries < 100; tries++ {
		time.Sleep(20 * time.Millisecond)
		response, err = s.send(version, request)
	}
	s.answers = append(s.answers, answer{what, request.Key(), version, response, err})
	return response
}

// askOwn is ask for Metadata of all topics, of which only those of this case are kept.
func (s *session) askOwn(what string, version int16, request *kmsg.MetadataRequest) {
	s.t.Helper()
	if r, ok := s.ask(what, version, request).(*kmsg.MetadataResponse); ok {
		r.Topics = slices.DeleteFunc(r.Topics, func(t kmsg.MetadataResponseTopic) bool {
			return t.Topic == nil || !strings.HasPrefix(*t.Topic, s.prefix)
		})
	}
}

// loading says that an answer is to be asked for again: Kafka gives COORDINATOR_LOAD_IN_PROGRESS while it fetches producer ids.
func loading(response kmsg.Response) bool {
	r, ok := response.(*kmsg.InitProducerIDResponse)
	return ok && r.ErrorCode == 14
}

// quiet is ask for what only prepares the case: it is not compared, and it must succeed.
func (s *session) quiet(version int16, request kmsg.Request) kmsg.Response {
	s.t.Helper()
	response, err := s.send(version, request)
	if err != nil {
		s.t.Fatalf("%s: %s v%d: %v", s.name, kmsg.NameForKey(request.Key()), version, err)
	}
	return response
}

func (s *session) send(version int16, request kmsg.Request) (kmsg.Response, error) {
	request.SetVersion(version)
	s.counter++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("differential")).AppendRequest(nil, request, s.counter)
	if err := s.write(frame); err != nil {
		return nil, err
	}
	if p, ok := request.(*kmsg.ProduceRequest); ok && p.Acks == 0 {
		return nil, nil
	}
	body, err := s.read()
	if err != nil {
		s.close()
		return nil, err
	}
	response := request.ResponseKind()
	return response, decode(response, body, s.counter)
}

func (s *session) write(frame []byte) error {
	if s.conn == nil {
		conn, err := net.DialTimeout("tcp", s.addr, answerWithin)
		if err != nil {
			s.t.Fatalf("%s: %v", s.name, err)
		}
		s.conn = conn
	}
	if err := s.conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return err
	}
	if _, err := s.conn.Write(frame); err != nil {
		s.close()
		return errClosed
	}
	return nil
}

// read returns the next frame without its size.
func (s *session) read() ([]byte, error) {
	return readFrame(s.conn)
}

func readFrame(conn net.Conn) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, closedOr(err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > 64<<20 {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, closedOr(err)
	}
	return body, nil
}

// closedOr makes one error of the ways in which a connection can end: a reset tells the same as an end of file.
func closedOr(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errors.New("no answer")
	}
	return errClosed
}

func decode(response kmsg.Response, body []byte, correlation int32) error {
	if got := int32(binary.BigEndian.Uint32(body)); got != correlation {
		return fmt.Errorf("correlation id %d, want %d", got, correlation)
	}
	body = body[4:]
	if response.IsFlexible() && response.Key() != 18 {
		if len(body) == 0 || body[0] != 0 {
			return fmt.Errorf("tags in the response header: % x", body[:min(8, len(body))])
		}
		body = body[1:]
	}
	if response.Key() == 18 && len(body) >= 2 && binary.BigEndian.Uint16(body) == 35 {
		response.SetVersion(0) // KIP-511: the only version that any client can read
	}
	if err := response.ReadFrom(body); err != nil {
		return fmt.Errorf("an answer that does not parse: %w", err)
	}
	return nil
}

func (s *session) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// create makes a topic and waits until the broker serves it.
func (s *session) create(name string, partitions int32, configs ...string) {
	s.t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = s.topic(name), partitions, 1
	for i := 0; i+1 < len(configs); i += 2 {
		topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: configs[i], Value: &configs[i+1]})
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	request.TimeoutMillis = 10_000
	response := s.quiet(7, request).(*kmsg.CreateTopicsResponse)
	if code := response.Topics[0].ErrorCode; code != 0 {
		s.t.Fatalf("%s: create %s: error %d", s.name, name, code)
	}
	s.ids[name] = response.Topics[0].TopicID
	s.settle(name, partitions)
}

// settle waits until a topic has so many partitions with leaders: Kafka answers changes before its own metadata follows.
func (s *session) settle(name string, partitions int32) {
	s.t.Helper()
	full := s.topic(name)
	s.until(func() bool {
		request := kmsg.NewPtrListOffsetsRequest()
		request.ReplicaID = -1
		topic := kmsg.ListOffsetsRequestTopic{Topic: full}
		for p := range partitions {
			partition := kmsg.NewListOffsetsRequestTopicPartition()
			partition.Partition, partition.Timestamp = p, -1
			topic.Partitions = append(topic.Partitions, partition)
		}
		request.Topics = append(request.Topics, topic)
		for _, p := range s.quiet(7, request).(*kmsg.ListOffsetsResponse).Topics[0].Partitions {
			if p.ErrorCode != 0 {
				return false
			}
		}
		return true
	})
}

// until polls for what a broker does in its own time.
func (s *session) until(done func() bool) {
	s.t.Helper()
	for limit := time.Now().Add(answerWithin); !done(); {
		if time.Now().After(limit) {
			s.t.Fatalf("%s: it does not happen", s.name)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func ptr[T any](v T) *T { return &v }
