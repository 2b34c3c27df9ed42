package proxy

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/proxy/filter"
)

// hooks is a filter made of hooks.
type hooks []filter.Hook

func (h hooks) Hooks() []filter.Hook { return h }

// limit is a filter that lets no key but ApiVersions through beyond a version.
type limit int16

func (limit) Hooks() []filter.Hook { return nil }
func (l limit) Limit(a protocol.API) int16 {
	if a.Name == "ApiVersions" {
		return a.Max
	}
	return int16(l)
}

type initRequest = kmsg.InitProducerIDRequest
type initResponse = kmsg.InitProducerIDResponse

func ids(millis int32) *initRequest {
	r := version(kmsg.NewPtrInitProducerIDRequest(), 4)
	r.TransactionTimeoutMillis = millis
	return r
}

// adder adds to the request and to the response, and notes what it sees.
func adder(n int32, note func(string)) filter.Filter {
	return hooks{
		filter.OnRequest(func(x *filter.Exchange, r *initRequest) (kmsg.Response, error) {
			note(fmt.Sprintf("request %d by %d", r.TransactionTimeoutMillis, n))
			x.Set(n)
			r.TransactionTimeoutMillis += n
			return nil, nil
		}),
		filter.OnResponse(func(x *filter.Exchange, r *initResponse) error {
			note(fmt.Sprintf("response %d by %d", r.ProducerID, x.Get()))
			r.ProducerID *= 10
			return nil
		}),
	}
}

// Filters see requests in their order and responses in the other one, and what one changes the next one sees.
func TestFilterOrder(t *testing.T) {
	f := newFake(t)
	f.answer = echo
	f.run(t)
	var mu sync.Mutex
	var seen []string
	note := func(s string) { mu.Lock(); seen = append(seen, s); mu.Unlock() }
	over := make(chan filter.Exchange, 1)
	watch := hooks{{Key: filter.EveryKey, After: func(x *filter.Exchange) { over <- *x }}}
	p, _ := start(t, Cluster{Name: "v", Filters: []filter.Filter{watch, adder(1, note), adder(2, note)}}, f.addr())
	got := dial(t, p.Addr()).ask(ids(5)).(*initResponse)
	x := <-over
	if got.ProducerID != 800 || strings.Join(seen, ", ") != "request 5 by 1, request 6 by 2, response 8 by 2, response 80 by 1" {
		t.Errorf("%+v, %v", got, seen)
	}
	if x.Cluster != "v" || x.ClientID != "test" || x.Key != 22 || x.Version != 4 || x.Bytes == 0 || x.Answered == 0 || x.Broker != -1 || x.Client.Remote == "" {
		t.Errorf("%+v", x)
	}
}

// A filter that answers itself keeps the request from those behind it, and its answer passes those before it; a refusal has the request's
// names and the code. Order is kept among answers from upstream.
func TestFilterAnswers(t *testing.T) {
	f := newFake(t)
	f.answer = echo
	f.run(t)
	note := func(string) {}
	own := hooks{filter.OnRequest(func(x *filter.Exchange, r *initRequest) (kmsg.Response, error) {
		switch r.TransactionTimeoutMillis {
		case 101:
			return &initResponse{ProducerID: 7}, nil
		case 102:
			return nil, filter.Refuse(protocol.PolicyViolation, "no")
		}
		return nil, nil
	})}
	p, _ := start(t, Cluster{Filters: []filter.Filter{adder(1, note), own, adder(1000, note)}}, f.addr())
	c := dial(t, p.Addr())
	for i, millis := range []int32{1, 100, 2, 101, 3} {
		if _, err := c.Write(requestFrame(ids(millis), int32(i), "test")); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []int64{100200, 70, 100300, 0, 100400} {
		r, err := c.answer(ids(0), int32(i))
		if err != nil {
			t.Fatal(i, err)
		}
		got := r.(*initResponse)
		if i == 3 && got.ErrorCode != int16(protocol.PolicyViolation) || i != 3 && got.ProducerID != want {
			t.Errorf("answer %d: %+v", i, got)
		}
	}
	if n := len(f.requests()); n != 3 {
		t.Errorf("%d requests upstream", n)
	}
}

// A refusal by the header alone answers too, and a Produce without an answer is refused by closing, as Kafka does.
func TestRefusedByHeader(t *testing.T) {
	f := newFake(t)
	f.answer = echo
	f.run(t)
	no := hooks{{Key: filter.EveryKey, Before: func(x *filter.Exchange) error {
		if x.Key == 0 || x.Key == 3 {
			return filter.Refuse(protocol.TopicAuthorizationFailed, "no")
		}
		return nil
	}}}
	p, _ := start(t, Cluster{Filters: []filter.Filter{no}}, f.addr())
	c := dial(t, p.Addr())
	c.ask(ids(1))
	if r := c.ask(produce(1, 200_000)).(*kmsg.ProduceResponse); r.Topics[0].Topic != "t" || r.Topics[0].Partitions[0].ErrorCode != 29 {
		t.Errorf("%+v", r)
	}
	if _, err := c.Write(requestFrame(produce(0, 10), 9, "")); err != nil {
		t.Fatal(err)
	}
	if err := c.closed(); err != nil {
		t.Error(err)
	}
	if n := len(f.requests()); n != 1 {
		t.Errorf("%d requests upstream", n)
	}
}

// A hook that panics or fails ends its own connection and no other.
func TestFilterPanics(t *testing.T) {
	f := newFake(t)
	f.answer = echo
	f.run(t)
	bad := hooks{
		filter.OnRequest(func(x *filter.Exchange, r *initRequest) (kmsg.Response, error) {
			switch r.TransactionTimeoutMillis {
			case 1:
				panic("on purpose")
			case 2:
				return nil, errors.New("on purpose too")
			case 6: // answered here, which the hook on answers then refuses
				return &initResponse{ProducerID: 4}, nil
			}
			return nil, nil
		}),
		filter.OnResponse(func(x *filter.Exchange, r *initResponse) error {
			if r.ProducerID == 3 {
				panic("in the answer")
			}
			if r.ProducerID == 4 {
				return filter.Refuse(protocol.NotCoordinator, "")
			}
			return nil
		}),
		{Key: 3, Before: func(*filter.Exchange) error { panic("before") }},
		{Key: 10, After: func(*filter.Exchange) { panic("after") }},
	}
	p, l := start(t, Cluster{Filters: []filter.Filter{bad}}, f.addr())
	good := dial(t, p.Addr())
	for i, req := range []kmsg.Request{ids(1), ids(2), ids(3), version(kmsg.NewPtrMetadataRequest(), 12)} {
		c := dial(t, p.Addr())
		if r, err := c.try(req); err == nil {
			t.Errorf("%d: %+v", i, r)
		}
		good.ask(ids(5))
	}
	after := dial(t, p.Addr())
	after.ask(version(kmsg.NewPtrFindCoordinatorRequest(), 4))
	if err := after.closed(); err != nil {
		t.Error(err)
	}
	for _, n := range []int32{4, 6} {
		if r := good.ask(ids(n)).(*initResponse); r.ErrorCode != int16(protocol.NotCoordinator) {
			t.Errorf("%d: %+v", n, r)
		}
	}
	for _, want := range []string{"on purpose", "on purpose too", "in the answer", "panicked: before", "panicked: after"} {
		if !strings.Contains(l.String(), want) {
			t.Errorf("no line with %q", want)
		}
	}
}

// A filter's limit is what clients are told, and what they are held to.
func TestFilterLimit(t *testing.T) {
	f := newFake(t)
	f.answer = func(h protocol.Header, req kmsg.Request) kmsg.Response {
		r := req.ResponseKind().(*kmsg.ApiVersionsResponse)
		r.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: 3, MaxVersion: 12}, {ApiKey: 22, MinVersion: 4, MaxVersion: 5}}
		return r
	}
	f.run(t)
	p, _ := start(t, Cluster{Filters: []filter.Filter{limit(3)}}, f.addr())
	c := dial(t, p.Addr())
	r := c.ask(version(kmsg.NewPtrApiVersionsRequest(), 3)).(*kmsg.ApiVersionsResponse)
	if len(r.ApiKeys) != 1 || r.ApiKeys[0].MaxVersion != 3 {
		t.Errorf("%+v", r)
	}
	if r, err := c.try(ids(1)); err == nil {
		t.Errorf("%+v", r)
	}
}
