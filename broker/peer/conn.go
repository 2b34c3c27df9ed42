package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// Dialer connects to a broker, and authenticates where its listener wants that. It gives up after timeout.
type Dialer = func(broker int32, timeout time.Duration) (net.Conn, error)

// Conn is a connection to a broker with one request under way at a time. One goroutine uses it, but any may Close it.
type Conn struct {
	nc       net.Conn
	format   *kmsg.RequestFormatter
	maxFrame int
	next     int32
	out      []byte
	in       []byte
	small    int // answers in a row that would have fitted into much less
}

// NewConn makes a Conn of a connection. clientID is what the other broker logs; frames longer than maxFrame are an error.
func NewConn(nc net.Conn, clientID string, maxFrame int) *Conn {
	return &Conn{nc: nc, format: kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)), maxFrame: maxFrame}
}

// Close ends the connection, and an Exchange under way with an error.
func (c *Conn) Close() error { return c.nc.Close() }

// Exchange sends a request and returns the body of its answer, which is valid until the next call. After an error the connection is of no
// more use.
func (c *Conn) Exchange(q kmsg.Request, timeout time.Duration) ([]byte, error) {
	if err := c.nc.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	c.next++
	c.out = c.format.AppendRequest(c.out[:0], q, c.next)
	if _, err := c.nc.Write(c.out); err != nil {
		return nil, err
	}
	frame, err := c.frame()
	if err != nil {
		return nil, err
	}
	correlation, body, err := protocol.ResponseBody(q.Key(), q.GetVersion(), frame)
	if err == nil && correlation != c.next {
		err = fmt.Errorf("%w: answer %d to request %d", protocol.ErrMalformed, correlation, c.next)
	}
	return body, err
}

const (
	firstBytes = 16 << 10 // the buffer that a connection begins with, and keeps
	keepRounds = 64       // so many small answers later the buffer of a large one is let go
)

// frame reads an answer. Its length is taken at its word only as far as bytes arrive.
func (c *Conn) frame() ([]byte, error) {
	if c.in == nil {
		c.in = make([]byte, firstBytes)
	}
	have, err := io.ReadAtLeast(c.nc, c.in, 4)
	if err != nil {
		return nil, err
	}
	size := int(int32(binary.BigEndian.Uint32(c.in)))
	if size < 4 || size > c.maxFrame {
		return nil, fmt.Errorf("%w: an answer of %d bytes, allowed are 4 to %d", protocol.ErrMalformed, size, c.maxFrame)
	}
	want := 4 + size
	if have > want {
		return nil, fmt.Errorf("%w: %d bytes after an answer", protocol.ErrMalformed, have-want)
	}
	for have < want {
		if have == len(c.in) {
			grown := make([]byte, min(want, 4*have))
			copy(grown, c.in)
			c.in = grown
		}
		n, err := c.nc.Read(c.in[have:min(want, len(c.in))])
		if have += n; have < want && err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	frame := c.in[4:want:want]
	c.shrink(want)
	return frame, nil
}

// shrink has the next frame begin in a small buffer where a large one was not needed for long.
func (c *Conn) shrink(used int) {
	if len(c.in) <= firstBytes || used > len(c.in)/4 {
		c.small = 0
		return
	}
	if c.small++; c.small >= keepRounds {
		c.in, c.small = nil, 0
	}
}

// Read decodes an answer's body into the response of q.
func Read(q kmsg.Request, body []byte) (kmsg.Response, error) {
	r := q.ResponseKind()
	if err := protocol.DecodeResponse(r, body, nil); err != nil {
		return nil, err
	}
	return r, nil
}
