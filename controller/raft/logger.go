package raft

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// raftLogger shows warnings and errors of the Raft library in our log; the rest is nothing a user can use.
type raftLogger struct {
	hclog.Logger // says nothing
	to           *slog.Logger
	quiet        bool // of a sole voter: its elections are no news
	said         *repetition
}

// repetition keeps a peer that is away from filling the log: the library says so at each attempt, several times a second.
type repetition struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// repeatAfter is how long the same line about the same peer is not shown again.
const repeatAfter = time.Minute

// again says whether a line was shown a moment ago.
func (r *repetition) again(msg string, args []any) bool {
	for i := 0; i+1 < len(args); i += 2 {
		if k, ok := args[i].(string); ok && (k == "peer" || k == "target" || k == "id" || k == "node") {
			msg += fmt.Sprint(" ", args[i+1])
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if t, ok := r.last[msg]; ok && now.Sub(t) < repeatAfter {
		return true
	}
	if len(r.last) > 100 {
		clear(r.last)
	}
	r.last[msg] = now
	return false
}

func newRaftLogger(to *slog.Logger, quiet bool) hclog.Logger {
	return raftLogger{hclog.NewNullLogger(), to, quiet, &repetition{last: map[string]time.Time{}}}
}

// idle is what the library says where nothing is wrong: only the log knows a peer's address; a node has just joined; another one has closed a
// stream.
var idle = map[string]bool{
	"unable to get address for server, using fallback address": true,
	"failed to get previous log":                               true,
	"no known peers, aborting election":                        true,
	"failed to decode incoming command":                        true,
	"failed to flush response":                                 true,
}

func (l raftLogger) Warn(msg string, args ...any) {
	if idle[msg] || l.said.again(msg, args) {
		return
	}
	level := slog.LevelWarn
	if l.quiet {
		level = slog.LevelDebug
	}
	l.to.Log(context.Background(), level, "metadata quorum: "+msg, plain(args)...)
}

func (l raftLogger) Error(msg string, args ...any) {
	for _, a := range args {
		if err, ok := a.(error); ok && noSpace(err) {
			return // the store has said it, and Raft tries again every second
		}
	}
	if idle[msg] || l.said.again(msg, args) {
		return
	}
	level := slog.LevelError
	if aboutPeer(args) {
		level = slog.LevelWarn // another node is away, or this one is about to be
	}
	l.to.Log(context.Background(), level, "metadata quorum: "+msg, plain(args)...)
}

func aboutPeer(args []any) bool {
	for i := 0; i < len(args); i += 2 {
		if args[i] == "peer" || args[i] == "target" {
			return true
		}
	}
	return false
}

// plain drops hclog's own wrappers, which slog would print as structures.
func plain(args []any) []any {
	for i := range args {
		if f, ok := args[i].(hclog.Format); ok {
			args[i] = f[1:]
		}
	}
	return args
}

func (l raftLogger) IsWarn() bool                   { return true }
func (l raftLogger) IsError() bool                  { return true }
func (l raftLogger) With(...any) hclog.Logger       { return l }
func (l raftLogger) Named(string) hclog.Logger      { return l }
func (l raftLogger) ResetNamed(string) hclog.Logger { return l }
func (l raftLogger) Log(level hclog.Level, msg string, args ...any) {
	switch level {
	case hclog.Warn:
		l.Warn(msg, args...)
	case hclog.Error:
		l.Error(msg, args...)
	}
}
