package proxy

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// maxAnswer is the largest answer that is passed on: Kafka's clients take no larger one.
const maxAnswer = 1<<31 - 1

// takeAnswers forwards answers until an error. io.EOF is the end between two of them.
func (c *conn) takeAnswers() error {
	for {
		size, err := c.up.frameSize(0, maxAnswer)
		if err != nil {
			return err
		}
		e, ok := c.q.front()
		if !ok {
			return fmt.Errorf("%w: an answer of %d bytes that nobody asked for", protocol.ErrMalformed, size)
		}
		if !e.raw {
			if size < 4 {
				return fmt.Errorf("%w: an answer of %d bytes", protocol.ErrMalformed, size)
			}
			b, err := c.up.peek(8)
			if err != nil {
				return err
			}
			if id := int32(binary.BigEndian.Uint32(b[4:])); id != e.correlation {
				return fmt.Errorf("%w: the answer to request %d has correlation id %d", protocol.ErrMalformed, e.correlation, id)
			}
		}
		sent, err := c.takeAnswer(&e, size)
		if err != nil {
			return err
		}
		// Whoever sees an empty queue may write to the client.
		if c.q.len() == 1 {
			if err := c.up.flush(); err != nil {
				return err
			}
		}
		c.q.pop()
		if err := c.done(&e, sent); err != nil {
			return err
		}
	}
}

// takeAnswer forwards one answer and returns how long it became.
func (c *conn) takeAnswer(e *entry, size int) (int, error) {
	rw, rewritten := rewritings[e.key]
	rewritten = rewritten && e.version >= rw.from
	filtered := e.x != nil && e.x.Answers()
	switch {
	case e.raw || e.opaque:
	case filtered || rewritten && !rw.hint || e.key == int16(kmsg.ApiVersions) || e.key == int16(kmsg.SASLHandshake):
		return c.rewrite(e, size)
	case rewritten && size <= peekBytes-4:
		return c.hinted(e, size)
	case rewritten:
		return 4 + size, c.streamed(e, size)
	}
	return 4 + size, c.up.pass(4 + size)
}

// rewrite decodes an answer, changes it and sends it on.
func (c *conn) rewrite(e *entry, size int) (int, error) {
	held, err := c.up.frame(size, &c.p.answers, c.ctx.Done())
	if err != nil {
		return 0, err
	}
	defer held.release()
	resp, header, err := decodeAnswer(e.key, e.version, held.b, held)
	if err != nil {
		return 0, err
	}
	if err := c.change(e, resp); err != nil {
		return 0, err
	}
	return held.encode(c.toClient, header, resp)
}

// decodeAnswer makes a frame a message. The header is what comes before its body.
func decodeAnswer(key, version int16, frame []byte, m protocol.Memory) (resp kmsg.Response, header []byte, err error) {
	_, body, err := protocol.ResponseBody(key, version, frame)
	if err != nil {
		return nil, nil, err
	}
	if key == int16(kmsg.ApiVersions) && len(body) >= 2 && int16(binary.BigEndian.Uint16(body)) == int16(protocol.UnsupportedVersion) {
		version = 0 // KIP-511
	}
	resp = protocol.NewResponse(key, version)
	return resp, frame[:len(frame)-len(body)], protocol.DecodeResponse(resp, body, m)
}

// change makes an answer from upstream what the client is to see.
func (c *conn) change(e *entry, resp kmsg.Response) error {
	if rw, ok := rewritings[e.key]; ok && resp.GetVersion() >= rw.from {
		c.view.seen = nil
		rw.fn(&c.view, resp)
	}
	switch r := resp.(type) {
	case *kmsg.ApiVersionsResponse:
		c.l.c.capVersions(r)
	case *kmsg.SASLHandshakeResponse:
		if r.ErrorCode == 0 {
			c.tokens.Store(e.tokens)
		}
	}
	if e.x == nil {
		return nil
	}
	if err := e.x.Response(resp); err != nil {
		return fmt.Errorf("%w: %w", errFilter, err)
	}
	return nil
}

// hinted forwards a short answer that may name brokers at its end.
func (c *conn) hinted(e *entry, size int) (int, error) {
	b, err := c.up.peek(4 + size)
	if err != nil {
		return 0, err
	}
	named, err := hinted(e.key, e.version, b[4:4+size])
	if err != nil {
		return 0, err
	}
	if !named {
		return 4 + size, c.up.pass(4 + size)
	}
	return c.rewrite(e, size)
}

// hinted says whether an answer with tagged fields of its own has any.
func hinted(key, version int16, frame []byte) (bool, error) {
	_, body, err := protocol.ResponseBody(key, version, frame)
	if err != nil {
		return false, err
	}
	at, err := protocol.ResponseTags(key, version, body)
	return err == nil && body[at] != 0, err
}

// streamed forwards a long answer that may name brokers at its end, without holding it. They cannot be rewritten there, as the length of
// the frame has been sent already: they are made a tagged field that no client knows. A client without the hint asks for metadata.
func (c *conn) streamed(e *entry, size int) error {
	b, err := c.up.peek(9)
	if err != nil {
		return err
	}
	if b[8] != 0 {
		return fmt.Errorf("%w: a response header with tagged fields", protocol.ErrMalformed)
	}
	if err := c.up.pass(9); err != nil {
		return err
	}
	left, err := protocol.ScanResponse(e.key, e.version, size-5, stream{c.up})
	if err != nil {
		return err
	}
	if left > 1 {
		if left < 3 || left > peekBytes {
			return fmt.Errorf("%w: tagged fields of %d bytes", protocol.ErrMalformed, left)
		}
		if b, err = c.up.peek(left); err != nil {
			return err
		}
		hideTags(b[:left])
	}
	return c.up.pass(left)
}

// hideTags makes a block of tagged fields one field that no client knows, of the same length.
func hideTags(b []byte) {
	const unused = 100 // the number of a field that Kafka does not have
	clear(b)
	b[0], b[1] = 1, unused
	if len(b) < 5 {
		b[2] = byte(len(b) - 3)
		return
	}
	n := len(b) - 5
	b[2], b[3], b[4] = byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)
}

// stream is a source as protocol knows it.
type stream struct{ s *source }

func (s stream) Peek(n int) ([]byte, error) { return s.s.peek(n) }
func (s stream) Pass(n int) error           { return s.s.pass(n) }

// capVersions leaves of what the upstream broker serves what the proxy and its filters serve.
func (c *cluster) capVersions(r *kmsg.ApiVersionsResponse) {
	chain := c.chain.Load()
	kept := r.ApiKeys[:0]
	for _, k := range r.ApiKeys {
		api, known := protocol.Lookup(k.ApiKey)
		switch {
		case !known && !c.conf().PassUnknown:
			continue
		case known:
			most := chain.Limit(api)
			if most < api.Max || !c.conf().PassUnknown {
				k.MaxVersion = min(k.MaxVersion, most)
			}
			if api.Listeners&protocol.OnBroker == 0 || k.MaxVersion < k.MinVersion {
				continue
			}
		}
		kept = append(kept, k)
	}
	r.ApiKeys = kept
}
