package api

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/config"
	"weir/protocol"
)

// Loggers are the named loggers of this broker: RootLogger and those that have its level, or one of their own.
type Loggers interface {
	// Levels returns the level in force of each logger.
	Levels() map[string]slog.Level
	// SetLevel gives a logger a level of its own; nil takes it back.
	SetLevel(name string, to *slog.Level)
}

// RootLogger is the name of the logger whose level the others have that have none of their own.
const RootLogger = "root"

// LogLevels are Kafka's names of the levels (Log4j's), from the most talkative on, and slog's.
var LogLevels = []struct {
	Name  string
	Level slog.Level
}{
	{"TRACE", slog.LevelDebug - 4}, {"DEBUG", slog.LevelDebug}, {"INFO", slog.LevelInfo}, {"WARN", slog.LevelWarn}, {"ERROR", slog.LevelError}, {"FATAL", slog.LevelError + 4},
}

// levelName is the name of the highest level that lets l through.
func levelName(l slog.Level) string {
	name := LogLevels[0].Name
	for _, known := range LogLevels {
		if known.Level <= l {
			name = known.Name
		}
	}
	return name
}

// loggers describes the loggers of this broker.
func (d *describer) loggers(name string, names []string) ([]config.Described, invalidDescription) {
	if name == "" {
		return nil, "Broker id must not be empty"
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return nil, invalidDescription("Broker id must be an integer, but it is: " + name)
	}
	if int32(id) != d.s.NodeID {
		return nil, invalidDescription(fmt.Sprintf("Unexpected broker id, expected %d but received %s", d.s.NodeID, name))
	}
	var found []config.Described
	for logger, level := range d.s.logLevels() {
		if len(names) == 0 || slices.Contains(names, logger) {
			found = append(found, config.Described{Name: logger, Value: levelName(level), Source: config.FromBrokerLogger})
		}
	}
	slices.SortFunc(found, func(a, b config.Described) int { return strings.Compare(a.Name, b.Name) })
	return found, ""
}

func (s *Server) logLevels() map[string]slog.Level {
	if s.Loggers == nil {
		return nil
	}
	return s.Loggers.Levels()
}

// alterLoggers changes levels until the next start: they are nobody's metadata.
func (s *Server) alterLoggers(who *Session, r *kmsg.IncrementalAlterConfigsRequestResource, validateOnly bool) (protocol.Code, string) {
	if !s.mayCluster(who, AlterConfigs) {
		return protocol.ClusterAuthorizationFailed, protocol.ClusterAuthorizationFailed.Message()
	}
	id, err := strconv.ParseInt(r.ResourceName, 10, 32)
	if err != nil {
		return protocol.InvalidRequest, "Node id must be an integer, but it is: " + r.ResourceName
	}
	if int32(id) != s.NodeID {
		return protocol.InvalidRequest, fmt.Sprintf("Unexpected node id. Expected %d, but received %s", s.NodeID, r.ResourceName)
	}
	levels := make([]*slog.Level, 0, len(r.Configs))
	for i := range r.Configs {
		level, code, message := s.loggerChange(&r.Configs[i])
		if code != protocol.None {
			return code, message
		}
		levels = append(levels, level)
	}
	if validateOnly {
		return protocol.None, ""
	}
	for i, level := range levels {
		s.Loggers.SetLevel(r.Configs[i].Name, level)
	}
	return protocol.None, ""
}

// loggerChange holds one change of a logger against what there is, and says its new level: nil is that of the logger above.
func (s *Server) loggerChange(c *kmsg.IncrementalAlterConfigsRequestResourceConfig) (*slog.Level, protocol.Code, string) {
	_, exists := s.logLevels()[c.Name]
	unknown := "Logger " + c.Name + " does not exist!"
	switch c.Op {
	case kmsg.IncrementalAlterConfigOpSet:
		if !exists {
			return nil, protocol.InvalidConfig, unknown
		}
		for i := range LogLevels {
			if c.Value != nil && LogLevels[i].Name == *c.Value {
				return &LogLevels[i].Level, protocol.None, ""
			}
		}
		return nil, protocol.InvalidConfig, fmt.Sprintf("Cannot set the log level of %s to %s as it is not a supported log level. Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN", c.Name, orNull(c.Value))
	case kmsg.IncrementalAlterConfigOpDelete:
		if !exists {
			return nil, protocol.InvalidConfig, unknown
		}
		if c.Name == RootLogger {
			return nil, protocol.InvalidRequest, "Removing the log level of the " + RootLogger + " logger is not allowed"
		}
		return nil, protocol.None, ""
	case kmsg.IncrementalAlterConfigOpAppend:
		return nil, protocol.InvalidRequest, "APPEND operation is not allowed for the BROKER_LOGGER resource"
	case kmsg.IncrementalAlterConfigOpSubtract:
		return nil, protocol.InvalidRequest, "SUBTRACT operation is not allowed for the BROKER_LOGGER resource"
	}
	return nil, protocol.InvalidRequest, fmt.Sprintf("Unknown operation type %d is not allowed for the BROKER_LOGGER resource", c.Op)
}

func orNull(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}
