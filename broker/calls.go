package broker

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/membership/stream"
	"weir/protocol"
)

// A call is uint32 length, one byte that says what is asked, and that; its answer is uint32 length, a byte that is 0 or not, and the answer, or
// why there is none. One call is under way on a stream at a time.
const (
	callRequest byte = 1 // int16 key, int16 version, int32 milliseconds to decide in, a request of Kafka's; int16 code, int64 offset, its response
	callJoin    byte = 2 // JSON of joiner; JSON of admitted
	callStatus  byte = 3 // nothing; JSON of nodeStatus
)

// calls answers the calls of other nodes, and makes some. It is a part of the broker.
type calls struct{ *Broker }

// readCall reads one call or answer, of no more than max bytes. What is there is allocated as it arrives.
func readCall(r io.Reader, max int) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[:])) - 1
	if n < 0 || n > int64(max) {
		return 0, nil, fmt.Errorf("%w: a call of %d bytes", protocol.ErrMalformed, n)
	}
	body, err = io.ReadAll(io.LimitReader(r, n))
	if err == nil && int64(len(body)) < n {
		err = io.ErrUnexpectedEOF
	}
	return head[4], body, err
}

// startCall begins a call or an answer; endCall writes its length.
func startCall(kind byte) []byte { return []byte{0, 0, 0, 0, kind} }

func endCall(b []byte) []byte {
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// answerCalls answers another node until it closes the stream.
func (b *calls) answerCalls(nc net.Conn, who stream.Identity) {
	for {
		kind, body, err := readCall(nc, b.server.maxFrame)
		if err != nil {
			if errors.Is(err, protocol.ErrMalformed) {
				b.log.Warn("a call of another node cannot be read", "remote", nc.RemoteAddr().String(), "node", who.Node, "error", err.Error())
			}
			return
		}
		answer, err := b.answerCall(kind, body, who)
		if err != nil {
			answer = append(startCall(1), err.Error()...)
		}
		if _, err := nc.Write(endCall(answer)); err != nil {
			return
		}
	}
}

func (b *calls) answerCall(kind byte, body []byte, who stream.Identity) ([]byte, error) {
	if !b.started.Load() {
		return nil, errors.New("the node is only starting")
	}
	switch kind {
	case callRequest:
		if who.Cluster == "" {
			return nil, errors.New("who asks is in no cluster")
		}
		return b.answerRequest(body)
	case callJoin:
		var j joiner
		if err := json.Unmarshal(body, &j); err != nil {
			return nil, err
		}
		return appendJSON(b.quorum.admit(j))
	case callStatus:
		return appendJSON(b.quorum.status())
	}
	return nil, fmt.Errorf("call %d is not known", kind)
}

func appendJSON(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return append(startCall(0), text...), err
}

// answerRequest has the controller decide a request that another broker was asked. That broker has authorized it.
func (b *calls) answerRequest(body []byte) ([]byte, error) {
	if len(body) < 8 {
		return nil, protocol.ErrMalformed
	}
	h := protocol.Header{Key: int16(binary.BigEndian.Uint16(body)), Version: int16(binary.BigEndian.Uint16(body[2:]))}
	limit := time.Duration(int32(binary.BigEndian.Uint32(body[4:]))) * time.Millisecond
	if !controller.Handles(h.Key) && !isQuorumKey(h.Key) {
		return nil, fmt.Errorf("api key %d is not the controller's", h.Key)
	}
	req := protocol.NewRequest(h)
	if err := protocol.Decode(req, body[8:], nil); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	resp, offset, err := b.decide(ctx, req)
	code := protocol.None
	if err != nil && !errors.As(err, &code) {
		return nil, err
	}
	out := binary.BigEndian.AppendUint16(startCall(0), uint16(code))
	out = binary.BigEndian.AppendUint64(out, uint64(offset))
	if code == protocol.None {
		resp.SetVersion(h.Version)
		out = resp.AppendTo(out)
	}
	return out, nil
}

// parseAnswer reads what answerRequest wrote.
func parseAnswer(req kmsg.Request, body []byte) (kmsg.Response, int64, error) {
	if len(body) < 10 {
		return nil, 0, protocol.ErrMalformed
	}
	code, offset := protocol.Code(int16(binary.BigEndian.Uint16(body))), int64(binary.BigEndian.Uint64(body[2:]))
	if code != protocol.None {
		return nil, offset, code
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	return resp, offset, resp.ReadFrom(body[10:])
}

// askOne makes one call with JSON on a stream of its own.
func (b *calls) askOne(ctx context.Context, address string, kind byte, question, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	nc, _, err := b.hub.Open(ctx, stream.Call, address)
	if err != nil {
		return err
	}
	defer nc.Close()
	text, err := json.Marshal(question)
	if err != nil {
		return err
	}
	body, err := call(ctx, nc, append(startCall(kind), text...), b.server.maxFrame)
	if err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	return json.Unmarshal(body, answer)
}

// call writes a call and reads its answer. After an error the stream is of no use any more.
func call(ctx context.Context, nc net.Conn, question []byte, max int) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := nc.Write(endCall(question)); err != nil {
		return nil, err
	}
	status, body, err := readCall(nc, max)
	switch {
	case err != nil:
		return nil, err
	case status != 0:
		return nil, errors.New(string(body))
	case !stop():
		return nil, ctx.Err()
	}
	return body, nil
}
