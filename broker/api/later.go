package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// forwardTimeout bounds requests to the controller that carry no time-out of their own.
func (s *Server) forwardTimeout() time.Duration {
	return time.Duration(s.Config.Int64("request.timeout.ms")) * time.Millisecond
}

// later starts f at once, on a goroutine of its own, and hands back a Pending that ends with it. f must not touch the request's
// body: it may outlive it. It goes on when the client goes away. It does not count on a connection to catch its panics.
func later(log *slog.Logger, f func() Response) *Pending {
	done := make(chan Response, 1)
	go func() {
		defer close(done)
		defer recovered(log)
		done <- f()
	}()
	return &Pending{Wait: func(ctx context.Context) (Response, error) {
		select {
		case r, ok := <-done:
			if !ok {
				return nil, errNoAnswer
			}
			return r, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

// errNoAnswer ends the connection of a request whose goroutine panicked.
var errNoAnswer = errors.New("no answer was made")

// recovered is deferred by goroutines that no connection watches.
func recovered(log *slog.Logger) {
	if p := recover(); p != nil {
		log.Error("panic while answering a request; the connection is closed", "panic", p, "stack", string(debug.Stack()))
	}
}

// submit carries a request to the controller and gives its response as an R. Where the error is a code it stands for the whole
// request. A deadline that is over before it begins is not tried, as in Kafka.
func submit[R kmsg.Response](s *Server, timeout time.Duration, req kmsg.Request) (R, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var none R
	if ctx.Err() != nil {
		return none, protocol.RequestTimedOut
	}
	resp, err := s.Controller.Submit(ctx, req)
	if err != nil {
		return none, err
	}
	r, ok := resp.(R)
	if !ok {
		return none, fmt.Errorf("the controller answered a %T with a %T", req, resp)
	}
	return r, nil
}

// forward has the controller decide a request, and answers with what it says, or with what refuse makes of a code.
func forward[Q kmsg.Request](s *Server, timeout time.Duration, q Q, refuse func(code protocol.Code) Response) (Response, error) {
	q, err := detach(q)
	if err != nil {
		return nil, err
	}
	return later(s.Log, func() Response {
		resp, err := submit[kmsg.Response](s, timeout, q)
		if err != nil {
			return refuse(s.codeOf(err))
		}
		return resp
	}), nil
}

// refusing answers with a code, in the two fields of a response that say what stands for all of it.
func refusing(resp Response, errorCode *int16, message **string) func(code protocol.Code) Response {
	return func(code protocol.Code) Response {
		*errorCode, *message = int16(code), text(code.Message())
		return resp
	}
}

// codeOf is what a client is told of an error of submit. Whatever has no code of its own is logged, for the client learns nothing.
func (s *Server) codeOf(err error) protocol.Code {
	var code protocol.Code
	switch {
	case err == nil:
		return protocol.None
	case errors.As(err, &code):
		return code
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return protocol.RequestTimedOut
	}
	s.Log.Error("a request to the controller failed", "error", err.Error())
	return protocol.UnknownServerError
}

// timeoutOf turns a request's time-out, which starts when it was received, into what is left of it.
func (s *Server) timeoutOf(c *Call, timeoutMs int32) time.Duration {
	left := time.Duration(timeoutMs) * time.Millisecond
	if !c.Received.IsZero() {
		left -= s.Now().Sub(c.Received)
	}
	return left
}

// text returns a nullable string of a response: null for "".
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// detach copies a request, so that it can be kept after its handler has returned.
func detach[Q kmsg.Request](q Q) (Q, error) {
	c := kmsg.RequestForKey(q.Key())
	c.SetVersion(q.GetVersion())
	err := c.ReadFrom(q.AppendTo(nil))
	return c.(Q), err
}
