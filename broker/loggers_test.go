package broker

import (
	"bytes"
	"log/slog"
	"testing"
)

func TestLoggers(t *testing.T) {
	var out bytes.Buffer
	l := newLoggers(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	says := func(name string, at slog.Level) bool {
		out.Reset()
		l.logger(name).With("a", 1).WithGroup("g").Log(t.Context(), at, "x")
		return out.Len() > 0
	}
	debug, info, failed := slog.LevelDebug, slog.LevelInfo, slog.LevelError
	for _, step := range []struct {
		what string
		set  string
		to   *slog.Level
		want map[string]slog.Level
	}{
		{"root is as talkative as the handler", "no.such", &debug, map[string]slog.Level{"root": slog.LevelWarn, walLogger: slog.LevelWarn}},
		{"one logger", walLogger, &debug, map[string]slog.Level{"root": slog.LevelWarn, walLogger: debug, brokerLogger: slog.LevelWarn}},
		{"a parent", brokerLogger, &info, map[string]slog.Level{requestLogger: info, replicaLogger: info, controllerLogger: slog.LevelWarn}},
		{"a child", requestLogger, &failed, map[string]slog.Level{requestLogger: failed, brokerLogger: info}},
		{"a child no more", requestLogger, nil, map[string]slog.Level{requestLogger: info}},
		{"root", "root", &failed, map[string]slog.Level{"root": failed, controllerLogger: failed, walLogger: debug, requestLogger: info}},
		{"root keeps a level", "root", nil, map[string]slog.Level{"root": failed}},
	} {
		l.SetLevel(step.set, step.to)
		levels := l.Levels()
		if len(levels) != 7 {
			t.Errorf("%s: %v", step.what, levels)
		}
		for name, want := range step.want {
			if levels[name] != want || !says(name, want) || says(name, want-1) {
				t.Errorf("%s: %s is at %v, want %v", step.what, name, levels[name], want)
			}
		}
	}
}
