package filter

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// Chain runs filters: requests pass the first one first, responses the last. It is never changed.
type Chain struct {
	filters []Filter
	before  map[int16][]step // EveryKey's are in those of each key
	every   []step           // of EveryKey, for keys that have nothing else
	request map[int16][]step
	answer  map[int16][]step // in the order of the filters
	after   map[int16][]step
	ended   []step
}

type step struct {
	at   int
	hook Hook
}

// NewChain makes a chain.
func NewChain(filters ...Filter) *Chain {
	c := &Chain{filters: filters, before: map[int16][]step{}, request: map[int16][]step{}, answer: map[int16][]step{}, after: map[int16][]step{}}
	var all []step
	keys := map[int16]bool{}
	for i, f := range filters {
		for _, h := range f.Hooks() {
			all = append(all, step{i, h})
			keys[h.Key] = true
		}
	}
	for _, s := range all {
		if h := s.hook; h.Key == EveryKey {
			if h.Before != nil {
				c.every = append(c.every, s)
			}
			if h.After != nil {
				c.ended = append(c.ended, s)
			}
		}
	}
	for key := range keys {
		for _, s := range all {
			h := s.hook
			if h.Key != key && h.Key != EveryKey {
				continue
			}
			if h.Before != nil {
				c.before[key] = append(c.before[key], s)
			}
			if h.Request != nil && h.Key == key {
				c.request[key] = append(c.request[key], s)
			}
			if h.Response != nil && h.Key == key {
				c.answer[key] = append(c.answer[key], s)
			}
			if h.After != nil {
				c.after[key] = append(c.after[key], s)
			}
		}
	}
	return c
}

// Begin attaches an exchange to the chain.
func (c *Chain) Begin(x *Exchange) { x.chain, x.reach = c, len(c.filters) }

// Watches says whether any filter wants to hear of a key at all.
func (c *Chain) Watches(key int16) bool {
	return len(c.every) > 0 || len(c.ended) > 0 || c.before[key] != nil || c.after[key] != nil || c.request[key] != nil || c.answer[key] != nil
}

// Requests says whether requests of a key must be decoded, Responses the same of responses.
func (c *Chain) Requests(key int16) bool  { return c.request[key] != nil }
func (c *Chain) Responses(key int16) bool { return c.answer[key] != nil }

// Limit is the highest version of a key that all filters let clients use, below zero for none.
func (c *Chain) Limit(a protocol.API) int16 {
	most := a.Max
	for _, f := range c.filters {
		if l, ok := f.(Limiter); ok {
			most = min(most, l.Limit(a))
		}
	}
	return most
}

// Before runs the hooks on the header.
func (x *Exchange) Before() error {
	for _, s := range x.steps(x.chain.before, x.chain.every) {
		x.at = s.at
		if err := guard(func() error { return s.hook.Before(x) }); err != nil {
			x.reach = s.at + 1
			return err
		}
	}
	return nil
}

// Request runs the hooks on the request, and returns the response of a filter that answered.
func (x *Exchange) Request(r kmsg.Request) (resp kmsg.Response, err error) {
	for _, s := range x.chain.request[x.Key] {
		x.at = s.at
		err = guard(func() (err error) { resp, err = s.hook.Request(x, r); return err })
		if resp != nil || err != nil {
			x.reach = s.at + 1
			return resp, err
		}
	}
	return nil, nil
}

// Response runs the hooks on the response, of the filters that saw the request. Where one refuses it, its outcomes become the code.
func (x *Exchange) Response(r kmsg.Response) error {
	steps := x.chain.answer[x.Key]
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].at >= x.reach {
			continue
		}
		x.at = steps[i].at
		err := guard(func() error { return steps[i].hook.Response(x, r) })
		var refused *Refused
		if errors.As(err, &refused) {
			x.Code = refused.Code
			Spoil(r, refused.Code)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// After runs the hooks on the end.
func (x *Exchange) After() error {
	var errs []error
	for _, s := range x.steps(x.chain.after, x.chain.ended) {
		x.at = s.at
		errs = append(errs, guard(func() error { s.hook.After(x); return nil }))
	}
	return errors.Join(errs...)
}

// Changes says whether a filter may have changed the request, Answers whether one wants to see the response.
func (x *Exchange) Changes() bool { return x.chain.Requests(x.Key) }
func (x *Exchange) Answers() bool { return x.chain.Responses(x.Key) }

func (x *Exchange) steps(byKey map[int16][]step, every []step) []step {
	if s, ok := byKey[x.Key]; ok {
		return s
	}
	return every
}

// guard turns a panic of a filter into an error, which ends one connection.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a filter panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
