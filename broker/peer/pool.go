package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// Config is what a Pool is made with.
type Config struct {
	Dial     Dialer
	ClientID string
	MaxFrame int           // the longest answer
	Timeout  time.Duration // how long a request waits for its answer, and a connection for being made; 0: 30 s
	Now      func() time.Time
}

// Pool has at most one connection to each broker, made when it is needed. Any number of goroutines may use it; their requests to a broker
// go out one after another without waiting for answers.
type Pool struct {
	cfg    Config
	format *kmsg.RequestFormatter

	mu     sync.Mutex
	links  map[int32]*link
	closed bool
	wg     sync.WaitGroup
}

// ErrClosed is what requests of a closed Pool end with.
var ErrClosed = errors.New("the broker is being stopped")

// How long a broker that could not be reached is left alone: requests fail at once meanwhile.
const (
	firstBackoff = 20 * time.Millisecond
	maxBackoff   = time.Second
)

const (
	maxInFlight = 256 // requests to one broker whose answers are not there yet
	readBytes   = 16 << 10
)

// link is the connection to one broker, or the time of the next attempt. There is one as long as the Pool: a connection that is made
// meanwhile is found by Close.
type link struct {
	mu       sync.Mutex // held while connecting and writing
	conn     *shared    // nil: none yet. It is set with the Pool's lock too, and may be read with either
	failures int
	retryAt  time.Time
	out      []byte
}

// shared is a connection that has requests of several goroutines under way.
type shared struct {
	nc   net.Conn
	next int32
	sent chan *call // in the order of the requests

	once sync.Once
	err  error
	dead chan struct{}
}

// call is a request under way.
type call struct {
	q           kmsg.Request
	correlation int32
	resp        kmsg.Response
	err         error
	done        chan struct{}
}

// NewPool makes a Pool.
func NewPool(c Config) *Pool {
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Pool{cfg: c, format: kmsg.NewRequestFormatter(kmsg.FormatterClientID(c.ClientID)), links: map[int32]*link{}}
}

// Request sends a request to a broker and returns its answer. After an error whether it was carried out is not known.
func (p *Pool) Request(ctx context.Context, broker int32, q kmsg.Request) (kmsg.Response, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	l := p.links[broker]
	if l == nil {
		l = &link{}
		p.links[broker] = l
	}
	p.mu.Unlock()
	c := &call{q: q, done: make(chan struct{})}
	s, err := l.send(p, broker, c)
	if err != nil {
		return nil, fmt.Errorf("broker %d: %w", broker, err)
	}
	timeout := time.NewTimer(p.cfg.Timeout)
	defer timeout.Stop()
	select {
	case <-c.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("broker %d: %w", broker, ctx.Err())
	case <-timeout.C: // whoever waits behind it would wait in vain
		s.end(fmt.Errorf("no answer within %v", p.cfg.Timeout))
		<-c.done
	}
	if c.err != nil {
		return nil, fmt.Errorf("broker %d: %w", broker, c.err)
	}
	return c.resp, nil
}

// Forget ends the connection to a broker, which is gone or elsewhere now, and the requests under way on it with an error.
func (p *Pool) Forget(broker int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.links[broker]; l != nil && l.conn != nil {
		l.conn.end(errors.New("the broker is not there any more"))
	}
}

// Close ends all connections. Requests under way end with an error.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	for _, l := range p.links {
		if l.conn != nil {
			l.conn.end(ErrClosed)
		}
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// send writes a request, on a new connection where there is none.
func (l *link) send(p *Pool, broker int32, c *call) (*shared, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil || l.conn.ended() {
		if err := l.connect(p, broker); err != nil {
			return nil, err
		}
	}
	s := l.conn
	s.next++
	c.correlation = s.next
	l.out = p.format.AppendRequest(l.out[:0], c.q, c.correlation)
	select {
	case s.sent <- c:
	default:
		return nil, fmt.Errorf("%d requests are under way", maxInFlight)
	}
	if err := s.nc.SetWriteDeadline(time.Now().Add(p.cfg.Timeout)); err != nil {
		s.end(err)
	} else if _, err := s.nc.Write(l.out); err != nil {
		s.end(err)
	}
	if cap(l.out) > readBytes {
		l.out = nil
	}
	return s, nil // where the write failed, the reader ends the call
}

func (l *link) connect(p *Pool, broker int32) error {
	if now := p.cfg.Now(); now.Before(l.retryAt) {
		return errors.New("could not be reached a moment ago")
	}
	nc, err := p.cfg.Dial(broker, p.cfg.Timeout)
	if err != nil {
		wait := min(firstBackoff<<min(l.failures, 10), maxBackoff)
		l.failures++
		l.retryAt = p.cfg.Now().Add(wait)
		return err
	}
	l.failures = 0
	s := &shared{nc: nc, sent: make(chan *call, maxInFlight), dead: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		nc.Close()
		return ErrClosed
	}
	l.conn = s
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		s.read(p.cfg.MaxFrame)
		l.mu.Lock() // who sends has seen it alive under the lock
		defer l.mu.Unlock()
		s.fail()
	}()
	return nil
}

func (s *shared) ended() bool {
	select {
	case <-s.dead:
		return true
	default:
		return false
	}
}

// end ends the connection, once, and says why to all who wait.
func (s *shared) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.dead)
		s.nc.Close()
	})
}

// read hands out answers until the connection ends.
func (s *shared) read(maxFrame int) {
	r := bufio.NewReaderSize(s.nc, readBytes)
	for {
		frame, err := readFrame(r, maxFrame)
		if err == nil {
			err = s.answer(frame)
		}
		if err != nil {
			s.end(err)
			return
		}
	}
}

// fail ends the requests whose answers will not come.
func (s *shared) fail() {
	for {
		select {
		case c := <-s.sent:
			c.err = s.err
			close(c.done)
		default:
			return
		}
	}
}

// answer hands an answer to the oldest request.
func (s *shared) answer(frame []byte) error {
	var c *call
	select {
	case c = <-s.sent:
	default:
		return fmt.Errorf("%w: an answer to no request", protocol.ErrMalformed)
	}
	correlation, body, err := protocol.ResponseBody(c.q.Key(), c.q.GetVersion(), frame)
	if err == nil && correlation != c.correlation {
		err = fmt.Errorf("%w: answer %d to request %d", protocol.ErrMalformed, correlation, c.correlation)
	}
	if err == nil {
		c.resp, err = Read(c.q, body)
	}
	c.err = err
	close(c.done)
	return err
}

// readFrame reads one answer into memory of its own, which grows with what arrives.
func readFrame(r io.Reader, maxFrame int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := int(int32(binary.BigEndian.Uint32(head[:])))
	if size < 4 || size > maxFrame {
		return nil, fmt.Errorf("%w: an answer of %d bytes, allowed are 4 to %d", protocol.ErrMalformed, size, maxFrame)
	}
	frame := make([]byte, min(size, readBytes))
	for have := 0; ; {
		n, err := io.ReadFull(r, frame[have:])
		if have += n; err != nil {
			return nil, err
		}
		if have == size {
			return frame, nil
		}
		grown := make([]byte, min(size, 4*have))
		copy(grown, frame)
		frame = grown
	}
}
