package raft

import (
	"context"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLogger shows warnings and errors of the Raft library in our log; the rest is nothing a user can use.
type raftLogger struct {
	hclog.Logger // says nothing
	to           *slog.Logger
	quiet        bool // of a sole voter: its elections are no news
}

func newRaftLogger(to *slog.Logger, quiet bool) hclog.Logger {
	return raftLogger{hclog.NewNullLogger(), to, quiet}
}

func (l raftLogger) Warn(msg string, args ...any) {
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
	l.to.Error("metadata quorum: "+msg, plain(args)...)
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
