package api

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/config"
	"weir/protocol"
)

// rootLogger is the name of the one logger.
const rootLogger = "root"

// logLevels are Kafka's names of the levels (Log4j's), from the most talkative on, and slog's.
var logLevels = []struct {
	name  string
	level slog.Level
}{
	{"TRACE", slog.LevelDebug - 4}, {"DEBUG", slog.LevelDebug}, {"INFO", slog.LevelInfo}, {"WARN", slog.LevelWarn}, {"ERROR", slog.LevelError}, {"FATAL", slog.LevelError + 4},
}

// levelName is the name of the highest level that lets l through.
func levelName(l slog.Level) string {
	name := logLevels[0].name
	for _, known := range logLevels {
		if known.level <= l {
			name = known.name
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
	if d.s.LogLevel == nil || len(names) > 0 && !slices.Contains(names, rootLogger) {
		return nil, ""
	}
	return []config.Described{{Name: rootLogger, Value: levelName(d.s.LogLevel.Level()), Source: config.FromBrokerLogger}}, ""
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
	levels := make([]slog.Level, 0, len(r.Configs))
	for i := range r.Configs {
		level, code, message := s.loggerChange(&r.Configs[i])
		if code != protocol.None {
			return code, message
		}
		levels = append(levels, level)
	}
	if len(levels) > 0 && !validateOnly {
		s.LogLevel.Set(levels[len(levels)-1])
	}
	return protocol.None, ""
}

// loggerChange holds one change of a logger against what there is.
func (s *Server) loggerChange(c *kmsg.IncrementalAlterConfigsRequestResourceConfig) (slog.Level, protocol.Code, string) {
	exists := s.LogLevel != nil && c.Name == rootLogger
	unknown := "Logger " + c.Name + " does not exist!"
	switch c.Op {
	case kmsg.IncrementalAlterConfigOpSet:
		if !exists {
			return 0, protocol.InvalidConfig, unknown
		}
		for _, known := range logLevels {
			if c.Value != nil && known.name == *c.Value {
				return known.level, protocol.None, ""
			}
		}
		return 0, protocol.InvalidConfig, fmt.Sprintf("Cannot set the log level of %s to %s as it is not a supported log level. Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN", c.Name, orNull(c.Value))
	case kmsg.IncrementalAlterConfigOpDelete:
		if !exists {
			return 0, protocol.InvalidConfig, unknown
		}
		return 0, protocol.InvalidRequest, "Removing the log level of the " + rootLogger + " logger is not allowed"
	case kmsg.IncrementalAlterConfigOpAppend:
		return 0, protocol.InvalidRequest, "APPEND operation is not allowed for the BROKER_LOGGER resource"
	case kmsg.IncrementalAlterConfigOpSubtract:
		return 0, protocol.InvalidRequest, "SUBTRACT operation is not allowed for the BROKER_LOGGER resource"
	}
	return 0, protocol.InvalidRequest, fmt.Sprintf("Unknown operation type %d is not allowed for the BROKER_LOGGER resource", c.Op)
}

func orNull(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}
