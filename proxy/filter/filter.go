package filter

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// Filter takes part in the exchanges of a virtual cluster. One value serves all connections at once, so its hooks must be safe for use
// by many goroutines. A hook that panics ends its connection and no other.
type Filter interface {
	// Hooks are asked for once, when the chain is made.
	Hooks() []Hook
}

// Limiter is a filter that has clients see fewer API keys and versions.
type Limiter interface {
	// Limit returns the highest version of a key that clients may use, below zero for none.
	Limit(a protocol.API) int16
}

// EveryKey as the key of a Hook is all keys. Such a hook has no Request and no Response: they would have everything decoded.
const EveryKey int16 = -1

// Hook is what a filter does with one API key. Frames of a key for which no filter has Request or Response are never decoded.
type Hook struct {
	Key int16
	// Before sees the header only. An error refuses the request: see Refuse and Request.
	Before func(*Exchange) error
	// Request may change the request. A response answers it, and nobody behind sees it; an error refuses it, with the code of a
	// *Refused, and closes the connection where it is another one. Records and other bytes are valid during the call only.
	Request func(*Exchange, kmsg.Request) (kmsg.Response, error)
	// Response may change the response. An error closes the connection, or, where it is a *Refused, answers its code instead.
	Response func(*Exchange, kmsg.Response) error
	// After sees that an exchange is over, when the response is on its way.
	After func(*Exchange)
}

// OnRequest makes a hook of a function on requests of one type.
func OnRequest[T any, P interface {
	*T
	kmsg.Request
}](f func(*Exchange, P) (kmsg.Response, error)) Hook {
	return Hook{Key: P(new(T)).Key(), Request: func(x *Exchange, r kmsg.Request) (kmsg.Response, error) { return f(x, r.(P)) }}
}

// OnResponse makes a hook of a function on responses of one type.
func OnResponse[T any, P interface {
	*T
	kmsg.Response
}](f func(*Exchange, P) error) Hook {
	return Hook{Key: P(new(T)).Key(), Response: func(x *Exchange, r kmsg.Response) error { return f(x, r.(P)) }}
}

// Client is who sent a request.
type Client struct {
	Remote    string // address and port
	Principal string // "" where nobody was authenticated by the proxy
}

// Exchange is one request and its response. It is used by one goroutine at a time.
type Exchange struct {
	Context  context.Context // ends with the connection
	Cluster  string          // the virtual cluster
	Broker   int32           // whose address the client uses, -1: the bootstrap address
	Client   Client
	ClientID string
	Key      int16
	Version  int16
	Received time.Time
	Took     time.Duration // set for After
	Bytes    int           // of the request's frame
	Answered int           // of the response's frame, set for After
	Code     protocol.Code // of a refusal, set for After

	chain  *Chain
	values []any // of each filter
	reach  int   // filters that saw the request
	at     int   // the filter that is running
}

// Set keeps a value of the running filter for the other hooks of the same exchange.
func (x *Exchange) Set(v any) {
	if x.values == nil {
		x.values = make([]any, len(x.chain.filters))
	}
	x.values[x.at] = v
}

// Get returns what Set kept, nil for nothing.
func (x *Exchange) Get() any {
	if x.values == nil {
		return nil
	}
	return x.values[x.at]
}

// Wait holds the exchange back, and all that come behind it on the same connection. It ends early with the connection.
func (x *Exchange) Wait(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-x.Context.Done():
		return context.Cause(x.Context)
	}
}

// Refused is a request that is answered with an error code.
type Refused struct {
	Code protocol.Code
	Why  string
}

func (r *Refused) Error() string { return fmt.Sprintf("%s: %s", r.Code, r.Why) }

// Refuse makes the error that has a request answered with a code everywhere where its response has room for one.
func Refuse(code protocol.Code, why string) error { return &Refused{Code: code, Why: why} }

// Begins says whether no client can begin without a key: ApiVersions and SASL.
func Begins(key int16) bool { return key == 17 || key == 18 || key == 36 }

// Key finds an API key by its Kafka name, as in "Produce".
func Key(name string) (int16, error) {
	for _, a := range protocol.APIs {
		if a.Name == name {
			return a.Key, nil
		}
	}
	return 0, fmt.Errorf("%q is no API key of Kafka", name)
}

// Keys finds several; none is EveryKey.
func Keys(names []string) ([]int16, error) {
	if len(names) == 0 {
		return []int16{EveryKey}, nil
	}
	var all []int16
	for _, name := range names {
		key, err := Key(name)
		if err != nil {
			return nil, err
		}
		all = append(all, key)
	}
	return all, nil
}
