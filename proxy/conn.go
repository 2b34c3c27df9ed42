package proxy

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/proxy/filter"
)

// conn is one client's connection and the one upstream that belongs to it. One goroutine takes requests, another answers; the queue
// between them says which answer belongs to which request. An answer that is made here waits until the queue is empty, so that the order
// is kept and only one goroutine writes to the client at a time.
type conn struct {
	p      *Proxy
	l      *listener
	id     int32 // whose address the client used, -1: the bootstrap address
	view   view
	ctx    context.Context
	cancel context.CancelFunc

	client   net.Conn
	in       *source // from the client, to upstream
	toClient *sink
	up       *source // from upstream, to the client; nil until the first request
	toUp     *sink
	answered chan struct{} // closed when the goroutine of answers has ended; nil until there is one
	router   *router       // instead of the four above, where all brokers are at one address

	q        queue
	tokens   atomic.Int32 // of SASL without headers that are still to come (SaslHandshake v0)
	clientID string       // of the last request
	who      filter.Client

	mu     sync.Mutex
	nc     net.Conn // upstream, to close
	ended  bool
	failed bool // something was logged
}

func newConn(l *listener, nc net.Conn) *conn {
	c := &conn{p: l.c.p, l: l, id: l.id, client: nc, toUp: &sink{}, toClient: newSink(nc)}
	c.q.room.L = &c.q.mu
	c.ctx, c.cancel = context.WithCancel(c.p.ctx)
	c.in = newSource(nc, c.toUp)
	c.view = view{c: l.c, host: localHost(nc)}
	c.who = filter.Client{Remote: nc.RemoteAddr().String()}
	return c
}

// localHost is where the client reached the proxy.
func localHost(nc net.Conn) string {
	host, _, err := net.SplitHostPort(nc.LocalAddr().String())
	if err != nil {
		return nc.LocalAddr().String()
	}
	return host
}

// serve forwards until the connection ends.
func (c *conn) serve() {
	defer c.stop()
	defer c.recovered()
	if err := c.greet(); err != nil {
		c.fail("client", err)
		return
	}
	if c.l.c.conf().Single {
		c.router = newRouter(c)
	}
	err := c.takeRequests()
	c.fail("client", err)
	if errors.Is(err, io.EOF) || errors.Is(err, protocol.ErrMalformed) {
		c.finish()
	}
}

// finish has what came before the client's end answered, as Kafka does. A client that has closed altogether looks the same until it is
// written to, so upstream is told of the end too and may close first; and it does not last for ever.
func (c *conn) finish() {
	if c.router != nil {
		c.router.finish()
		return
	}
	if c.up == nil || c.in.flush() != nil {
		return
	}
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // an error is met by the answers
	}
	t := time.AfterFunc(c.p.cfg.DrainTimeout, c.end)
	defer t.Stop()
	c.q.drain()
}

// greet does the TLS handshake, where there is one.
func (c *conn) greet() error {
	tc, ok := c.client.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.p.cfg.DialTimeout)
	defer cancel()
	if err := tc.HandshakeContext(ctx); err != nil {
		if errors.Is(err, io.EOF) || c.ctx.Err() != nil {
			return errClosing
		}
		return fmt.Errorf("%w: TLS: %w", protocol.ErrMalformed, err)
	}
	state := tc.ConnectionState()
	if len(state.PeerCertificates) > 0 {
		c.who.Principal = "User:" + state.PeerCertificates[0].Subject.String()
	}
	var err error
	if c.l.c.conf().SNI {
		c.id, err = c.l.c.named(state.ServerName)
	}
	return err
}

// recovered notes a panic, which ends this connection and no other.
func (c *conn) recovered() {
	if p := recover(); p != nil {
		c.l.c.log.Error("panic; the connection is closed", "client", c.who.Remote, "panic", p, "stack", string(debug.Stack()))
		c.end()
	}
}

// end closes both sides; the goroutines notice.
func (c *conn) end() {
	c.cancel()
	c.q.close()
	c.mu.Lock()
	c.ended = true
	nc := c.nc
	c.mu.Unlock()
	c.client.Close()
	if nc != nil {
		nc.Close()
	}
}

// stop ends the connection and returns when nothing of it is left.
func (c *conn) stop() {
	c.end()
	if c.router != nil {
		c.router.stop()
	}
	if c.answered != nil {
		<-c.answered
		c.up.stop()
	}
	c.in.stop()
}

// fail says once why the connection ends, where that is anybody's fault.
func (c *conn) fail(side string, err error) {
	c.mu.Lock()
	silent := c.failed || c.ended
	c.failed = true
	c.mu.Unlock()
	log := c.l.c.log
	switch {
	case silent || err == nil || errors.Is(err, errClosing) || errors.Is(err, net.ErrClosed):
	case side == "upstream" && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) && c.q.len() > 0:
		c.l.c.once("lost", "the upstream broker closed a connection with requests unanswered", "client", c.who.Remote, "upstream", c.nc.RemoteAddr().String())
	case errors.Is(err, io.EOF):
	case errors.Is(err, protocol.ErrMalformed) || errors.Is(err, errBudget) || errors.Is(err, errFilter):
		log.Warn("connection closed", "side", side, "client", c.who.Remote, "error", err.Error())
	case errors.Is(err, errDial):
		c.l.c.once("dial "+err.Error(), "the upstream broker cannot be reached; the client's connection is closed", "client", c.who.Remote, "error", err.Error())
	default:
		log.Debug("connection lost", "side", side, "client", c.who.Remote, "error", err.Error())
	}
}

var (
	errDial   = errors.New("no connection upstream")
	errFilter = errors.New("a filter closed the connection")
)

// connect opens the connection upstream.
func (c *conn) connect() error {
	if c.up != nil {
		return nil
	}
	nc, err := c.l.c.dial(c.ctx, c.id)
	if err != nil {
		return fmt.Errorf("%w: %w", errDial, err)
	}
	c.mu.Lock()
	c.nc = nc
	ended := c.ended
	c.mu.Unlock()
	if ended {
		nc.Close()
		return errClosing
	}
	*c.toUp = *newSink(nc)
	c.up = newSource(nc, c.toClient)
	c.answered = make(chan struct{})
	go func() {
		defer close(c.answered)
		defer c.recovered()
		c.fail("upstream", c.takeAnswers())
		c.end()
	}()
	return nil
}

// takeRequests forwards requests until an error.
func (c *conn) takeRequests() error {
	for {
		size, err := c.in.frameSize(0, c.p.cfg.MaxRequestBytes)
		if err != nil {
			return err
		}
		if !c.q.wait() {
			return errClosing
		}
		if c.tokens.Load() > 0 {
			c.tokens.Add(-1)
			if err := c.forward(entry{raw: true}, size); err != nil {
				return err
			}
			continue
		}
		if err := c.request(size); err != nil {
			return err
		}
	}
}

// forward passes a request on as it is.
func (c *conn) forward(e entry, size int) error {
	if err := c.connect(); err != nil {
		return err
	}
	if !e.silent && !c.q.push(e) {
		return errClosing
	}
	return c.in.pass(4 + size)
}

// header is what of a request is looked at always.
func (c *conn) header(size int) (h protocol.Header, err error) {
	if size < 8 {
		return h, fmt.Errorf("%w: a request of %d bytes", protocol.ErrMalformed, size)
	}
	b, err := c.in.peek(4 + min(size, 10))
	if err != nil {
		return h, err
	}
	h.Key = int16(binary.BigEndian.Uint16(b[4:]))
	h.Version = int16(binary.BigEndian.Uint16(b[6:]))
	h.CorrelationID = int32(binary.BigEndian.Uint32(b[8:]))
	if size < 10 {
		return h, nil
	}
	if n := int(int16(binary.BigEndian.Uint16(b[12:]))); n > 0 {
		if 10+n > size {
			return h, fmt.Errorf("%w: client id of %d bytes with %d left", protocol.ErrMalformed, n, size-10)
		}
		if b, err = c.in.peek(14 + n); err != nil {
			return h, err
		}
		h.ClientID = b[14 : 14+n]
	}
	return h, nil
}

// request takes one request.
func (c *conn) request(size int) error {
	h, err := c.header(size)
	if err != nil {
		return err
	}
	chain := c.l.c.chain.Load()
	api, known := protocol.Lookup(h.Key)
	switch {
	case known && api.Listeners&protocol.OnBroker == 0:
		return fmt.Errorf("%w: %s is for controllers only", protocol.ErrMalformed, api.Name)
	case known && h.Version >= 0 && h.Version <= chain.Limit(api):
	case h.Key == int16(kmsg.ApiVersions) && !c.l.c.conf().PassUnknown:
		return c.unknownApiVersions(size, h)
	case known && h.Version <= api.Max || !c.l.c.conf().PassUnknown:
		return fmt.Errorf("%w: version %d of api key %d is not served here", protocol.ErrMalformed, h.Version, h.Key)
	default:
		if chain.Watches(h.Key) || c.router != nil {
			return fmt.Errorf("%w: version %d of api key %d cannot be passed on without being read", protocol.ErrMalformed, h.Version, h.Key)
		}
		return c.forward(entry{key: h.Key, version: h.Version, correlation: h.CorrelationID, opaque: true}, size)
	}
	e := entry{key: h.Key, version: h.Version, correlation: h.CorrelationID}
	if chain.Watches(h.Key) {
		e.x = c.exchange(chain, h, size)
		if err := e.x.Before(); err != nil {
			return c.refuse(e, size, err)
		}
	}
	if c.router != nil || chain.Requests(h.Key) || h.Key == int16(kmsg.SASLHandshake) {
		return c.whole(e, size)
	}
	if h.Key == int16(kmsg.Produce) {
		if e.silent, err = c.silent(size); err != nil {
			return err
		}
	}
	if err := c.forward(e, size); err != nil {
		return err
	}
	if e.silent {
		return c.done(&e, 0)
	}
	return nil
}

// exchange begins what filters see of a request.
func (c *conn) exchange(chain *filter.Chain, h protocol.Header, size int) *filter.Exchange {
	if c.clientID != string(h.ClientID) {
		c.clientID = string(h.ClientID)
	}
	x := &filter.Exchange{
		Context: c.ctx, Cluster: c.l.c.name, Broker: c.id, Client: c.who, ClientID: c.clientID,
		Key: h.Key, Version: h.Version, Received: c.p.cfg.Now(), Bytes: size,
	}
	chain.Begin(x)
	return x
}

// silent says whether a Produce request has acks=0, which is never answered. It looks no further than the acks.
func (c *conn) silent(size int) (bool, error) {
	for n := 256; ; n *= 2 {
		b, err := c.in.peek(4 + min(size, n))
		if err != nil {
			return false, err
		}
		b = b[4:min(len(b), 4+size)]
		acks, err := protocol.ProduceAcks(b)
		if err == nil {
			return acks == 0, nil
		}
		if len(b) == size || n > peekBytes {
			return false, err
		}
	}
}

// unknownApiVersions answers ApiVersions of a version that is not known here, in the form that every client can read (KIP-511).
func (c *conn) unknownApiVersions(size int, h protocol.Header) error {
	if err := c.in.discard(4 + size); err != nil {
		return err
	}
	api, _ := protocol.Lookup(h.Key)
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = int16(protocol.UnsupportedVersion)
	resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: api.Key, MinVersion: 0, MaxVersion: c.l.c.chain.Load().Limit(api)}}
	return c.respond(&entry{key: h.Key, correlation: h.CorrelationID}, resp)
}

// decoded waits for a request as a whole and decodes it. Its caller releases what is held.
func (c *conn) decoded(size int) (*held, kmsg.Request, error) {
	held, err := c.in.frame(size, &c.p.requests, c.ctx.Done())
	if err != nil {
		return nil, nil, err
	}
	h, body, err := protocol.ParseHeader(held.b)
	if err == nil {
		held.header = held.b[:len(held.b)-len(body)]
		req := protocol.NewRequest(h)
		if err = protocol.Decode(req, body, held); err == nil {
			return held, req, nil
		}
	}
	held.release()
	return nil, nil, err
}

// whole decodes a request and forwards what the filters made of it.
func (c *conn) whole(e entry, size int) error {
	held, req, err := c.decoded(size)
	if err != nil {
		return err
	}
	defer held.release()
	if p, ok := req.(*kmsg.ProduceRequest); ok {
		e.silent = p.Acks == 0
	}
	if e.x != nil {
		resp, err := e.x.Request(req)
		if err != nil {
			return c.refused(&e, req, held, err)
		}
		if resp != nil {
			return c.answer(&e, resp, held)
		}
	}
	if c.router != nil {
		return c.router.request(e, req, held)
	}
	if s, ok := req.(*kmsg.SASLHandshakeRequest); ok && e.version == 0 {
		if e.tokens = rounds[s.Mechanism]; e.tokens == 0 {
			return fmt.Errorf("%w: SaslHandshake v0 with mechanism %q cannot be passed on", protocol.ErrMalformed, s.Mechanism)
		}
	}
	if err := c.connect(); err != nil {
		return err
	}
	if !e.silent && !c.q.push(e) {
		return errClosing
	}
	if e.x == nil || !e.x.Changes() {
		err = held.send(c.toUp, held.full)
	} else {
		_, err = held.encode(c.toUp, held.header, req)
	}
	if err == nil && e.silent {
		err = c.done(&e, 0)
	}
	return err
}

// rounds are the tokens that a client sends after SaslHandshake v0, which have no headers.
var rounds = map[string]int32{"PLAIN": 1, "OAUTHBEARER": 1, "SCRAM-SHA-256": 2, "SCRAM-SHA-512": 2}

// refuse answers a request that was not decoded yet with an error.
func (c *conn) refuse(e entry, size int, why error) error {
	var r *filter.Refused
	if !errors.As(why, &r) {
		return fmt.Errorf("%w: %w", errFilter, why)
	}
	held, req, err := c.decoded(size)
	if err != nil {
		return err
	}
	defer held.release()
	return c.refused(&e, req, held, why)
}

// refused answers a request with the code of an error. Without an answer the client is told by the end of the connection, as Kafka does.
func (c *conn) refused(e *entry, req kmsg.Request, held *held, why error) error {
	var r *filter.Refused
	if p, ok := req.(*kmsg.ProduceRequest); !errors.As(why, &r) || ok && p.Acks == 0 {
		return fmt.Errorf("%w: %w", errFilter, why)
	}
	e.x.Code = r.Code
	return c.answer(e, filter.Refusal(req, r.Code, r.Why), held)
}

// answer sends what a filter answered, through the filters before it. It may have to wait, for which the request is not held.
func (c *conn) answer(e *entry, resp kmsg.Response, held *held) error {
	resp.SetVersion(e.version)
	if err := e.x.Response(resp); err != nil {
		return fmt.Errorf("%w: %w", errFilter, err)
	}
	held.release()
	if e.silent {
		return c.done(e, 0)
	}
	return c.respond(e, resp)
}

// respond writes an answer that was made here, when all that came before is answered.
func (c *conn) respond(e *entry, resp kmsg.Response) error {
	if c.router != nil {
		return c.router.push(&reply{e: *e, resp: resp})
	}
	if c.q.drain(); c.ctx.Err() != nil {
		return errClosing
	}
	b := protocol.AppendResponseHeader(make([]byte, 4, 256), e.key, resp.GetVersion(), e.correlation)
	b = resp.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if err := c.toClient.write(b); err != nil {
		return err
	}
	return c.done(e, len(b))
}

// done tells the filters that an exchange is over.
func (c *conn) done(e *entry, bytes int) error {
	if e.x == nil {
		return nil
	}
	e.x.Took, e.x.Answered = c.p.cfg.Now().Sub(e.x.Received), bytes
	if err := e.x.After(); err != nil {
		return fmt.Errorf("%w: %w", errFilter, err)
	}
	return nil
}
