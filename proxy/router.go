package proxy

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/internal/buffer"
	"weir/protocol"
	"weir/proxy/filter"
)

// router is a client's connection where all brokers are at one address: each request goes to the broker that answers for what it names, or
// in parts to several. Requests are sent in their order; answers are written in it by a goroutine of their own.
type router struct {
	c     *conn
	node  int32 // which broker the client believes to talk to (KIP-1242), -1: it did not say
	legs  map[int32]*leg
	ended []*leg // that were replaced

	replies chan *reply
	written chan struct{} // closed when the writer has ended
	once    sync.Once
}

// reply is the answer to one request, in the making.
type reply struct {
	e     entry
	calls []*call
	resp  kmsg.Response       // where nobody has to be asked
	learn func(kmsg.Response) // what to remember of the answer, before it is rewritten
	whole bool                // the answer has to be decoded
}

func newRouter(c *conn) *router {
	r := &router{c: c, node: -1, legs: map[int32]*leg{}, replies: make(chan *reply, maxInFlight), written: make(chan struct{})}
	go func() {
		defer close(r.written)
		defer c.recovered()
		for rep := range r.replies {
			if err := r.writeOne(rep); err != nil && c.ctx.Err() == nil {
				c.fail("upstream", err)
				c.end()
			}
			rep.release()
		}
	}()
	return r
}

// finish lets what is in the works be answered; nothing more is sent.
func (r *router) finish() {
	r.once.Do(func() { close(r.replies) })
	t := time.AfterFunc(r.c.p.cfg.DrainTimeout, r.c.end)
	defer t.Stop()
	<-r.written
}

// stop ends everything. The client's connection is closed.
func (r *router) stop() {
	r.once.Do(func() { close(r.replies) })
	<-r.written
	for _, l := range r.legs {
		l.close()
	}
	for _, l := range r.ended {
		l.close()
	}
	for rep := range r.replies {
		rep.release()
	}
}

// leg is the connection to a broker, -1 any.
func (r *router) leg(id int32) (*leg, error) {
	if l := r.legs[id]; l != nil {
		if !l.gone() {
			return l, nil
		}
		r.ended = append(r.ended, l)
		delete(r.legs, id)
		for len(r.ended) > 8 { // they have ended already
			r.ended[0].close()
			r.ended = r.ended[1:]
		}
	}
	l, err := newLeg(r.c.ctx, r.c, id)
	if err != nil {
		return nil, err
	}
	r.legs[id] = l
	return l, nil
}

// request sends a request that the filters have seen to the brokers that answer for it.
func (r *router) request(e entry, req kmsg.Request, held *held) error {
	p, err := r.plan(req)
	if err != nil {
		return err
	}
	rep := &reply{e: e, resp: p.resp, learn: p.learn, whole: p.whole || len(p.parts) > 1}
	for _, part := range p.parts {
		full := held.full
		if p.changed || len(p.parts) > 1 || e.x != nil && e.x.Changes() {
			full = nil
		}
		rep.calls = append(rep.calls, r.send(part, full, held.header, e.silent, held.stall()))
	}
	if e.silent {
		return r.c.done(&e, 0)
	}
	held.release()
	return r.push(rep)
}

// push hands a reply to the writer.
func (r *router) push(rep *reply) error {
	select {
	case r.replies <- rep:
		return nil
	case <-r.c.ctx.Done():
		rep.release()
		return errClosing
	}
}

// send sends a part to its broker: as it came, or encoded anew behind its header. What goes wrong is the call's.
func (r *router) send(p part, full, header []byte, silent bool, stall time.Duration) *call {
	a := &call{key: p.req.Key(), version: p.req.GetVersion(), req: p.req, silent: silent, ctx: r.c.ctx, done: make(chan struct{}), of: &r.c.p.answers}
	l, err := r.leg(p.broker)
	if err == nil {
		if full == nil {
			out := buffer.Get(1 << 10)
			defer out.Put()
			full = p.req.AppendTo(append(out.B[:4], header...))
			binary.BigEndian.PutUint32(full, uint32(len(full)-4))
		}
		if err = l.send(a, full, stall); err != nil {
			l.nc.Close() // its goroutine fails the call if it was noted
			<-l.ended
		}
	}
	select {
	case <-a.done:
	default:
		if err != nil {
			a.err = err
			close(a.done)
			r.c.l.c.once("send "+err.Error(), "an upstream broker cannot be reached", "broker", p.broker, "client", r.c.who.Remote, "error", err.Error())
		}
	}
	return a
}

// ask asks something for the proxy itself and waits.
func (r *router) ask(req kmsg.Request) (kmsg.Response, error) {
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID("weir-proxy"))
	a := r.send(part{-1, req}, f.AppendRequest(nil, req, 0), nil, false, 0)
	<-a.done // at the latest when the connection ends, and its legs with it
	defer a.release()
	return a.decode()
}

// writeOne waits for the answer to a request and writes it.
func (r *router) writeOne(rep *reply) error {
	if r.c.ctx.Err() != nil {
		return errClosing
	}
	for _, a := range rep.calls {
		select {
		case <-a.done:
		case <-r.c.ctx.Done():
			return errClosing
		}
		if a.err != nil {
			if a.resp = unanswered(a.req); a.resp == nil {
				return a.err
			}
		}
	}
	filtered := rep.e.x != nil && rep.e.x.Answers()
	if !filtered && !rep.whole && len(rep.calls) == 1 && rep.calls[0].resp == nil {
		a := rep.calls[0]
		named := false
		if rw, ok := rewritings[a.key]; ok && a.version >= rw.from {
			var err error
			if named, err = hinted(a.key, a.version, a.frame); err != nil {
				return err
			}
		}
		if !named {
			return r.raw(rep)
		}
	}
	resp := rep.resp
	if resp == nil {
		var all []kmsg.Response
		for _, a := range rep.calls {
			a.err = nil // it has an answer by now
			one, err := a.decode()
			if err != nil {
				return err
			}
			all = append(all, one)
		}
		resp = merge(all)
		if rep.learn != nil {
			rep.learn(resp)
		}
		if err := r.c.change(&rep.e, resp); err != nil {
			return err
		}
	}
	out := buffer.Get(1 << 10)
	defer out.Put()
	b := protocol.AppendResponseHeader(out.B[:4], rep.e.key, resp.GetVersion(), rep.e.correlation)
	b = resp.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return r.out(rep, b)
}

// raw writes the one answer as it came, with the client's correlation id.
func (r *router) raw(rep *reply) error {
	a := rep.calls[0]
	binary.BigEndian.PutUint32(a.frame, uint32(rep.e.correlation))
	return r.out(rep, a.pooled.B[:4+len(a.frame)])
}

func (r *router) out(rep *reply, b []byte) error {
	stall := time.Duration(0)
	for _, a := range rep.calls {
		if a.taken+a.reads > 0 {
			stall = a.of.stall
		}
	}
	if err := r.c.toClient.writeHeld(b, stall); err != nil {
		return err
	}
	return r.c.done(&rep.e, len(b))
}

// release gives back what the answers hold. When the connection has ended it waits for the legs, which then end too.
func (rep *reply) release() {
	for _, a := range rep.calls {
		<-a.done
		a.release()
	}
}

// unanswered is what a client is told of a broker that did not answer: to look again for the leader or the coordinator. It is nil where there
// is no such code: then the connection ends, which says the same.
func unanswered(req kmsg.Request) kmsg.Response {
	api, _ := protocol.Lookup(req.Key())
	switch api.Answers {
	case protocol.PartitionLeader:
		return filter.Refusal(req, protocol.NetworkException, "The broker is gone.")
	case protocol.GroupCoordinator, protocol.TxnCoordinator:
		return filter.Refusal(req, protocol.CoordinatorNotAvailable, "The broker is gone.")
	}
	return nil
}
