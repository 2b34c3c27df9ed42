package broker

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"weir/broker/api"
)

// The loggers of a broker. A name says where a line comes from; a logger without a level of its own has that of the one whose name its
// name begins with, root's in the end, as in Log4j.
const (
	brokerLogger     = "weir.broker"
	requestLogger    = "weir.broker.api"
	replicaLogger    = "weir.broker.replica"
	controllerLogger = "weir.controller"
	membershipLogger = "weir.membership"
	walLogger        = "weir.wal"
)

// loggers are the named loggers of one broker and their levels (KIP-412). They write through one handler.
type loggers struct {
	to    slog.Handler
	named map[string]*level // never changed after it was made
}

// level is the level of one logger.
type level struct {
	own    atomic.Pointer[slog.Level] // nil: the parent's
	parent *level
}

func (l *level) inForce() slog.Level {
	for {
		if own := l.own.Load(); own != nil || l.parent == nil {
			return *own
		}
		l = l.parent
	}
}

// newLoggers makes the loggers over to. Root's level is the lowest that to lets through now; from then on the levels here decide.
func newLoggers(to slog.Handler) *loggers {
	root := new(level)
	lowest := api.LogLevels[len(api.LogLevels)-1].Level
	for _, known := range slices.Backward(api.LogLevels) {
		if to.Enabled(context.Background(), known.Level) {
			lowest = known.Level
		}
	}
	root.own.Store(&lowest)
	l := &loggers{to: to, named: map[string]*level{api.RootLogger: root}}
	for _, name := range []string{brokerLogger, requestLogger, replicaLogger, controllerLogger, membershipLogger, walLogger} { // parents before their children
		made := &level{parent: root}
		for above := name; strings.Contains(above, "."); {
			above = above[:strings.LastIndexByte(above, '.')]
			if p := l.named[above]; p != nil {
				made.parent = p
				break
			}
		}
		l.named[name] = made
	}
	return l
}

// logger returns a logger by its name, which must be one of those above.
func (l *loggers) logger(name string) *slog.Logger { return slog.New(leveled{l.to, l.named[name]}) }

// Levels implements api.Loggers.
func (l *loggers) Levels() map[string]slog.Level {
	all := make(map[string]slog.Level, len(l.named))
	for name, x := range l.named {
		all[name] = x.inForce()
	}
	return all
}

// SetLevel implements api.Loggers.
func (l *loggers) SetLevel(name string, to *slog.Level) {
	if x := l.named[name]; x != nil && (to != nil || x.parent != nil) {
		x.own.Store(to)
	}
}

// leveled is a handler whose level is that of a logger.
type leveled struct {
	slog.Handler
	level *level
}

func (h leveled) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.inForce() }

func (h leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return leveled{h.Handler.WithAttrs(attrs), h.level}
}

func (h leveled) WithGroup(name string) slog.Handler {
	return leveled{h.Handler.WithGroup(name), h.level}
}
