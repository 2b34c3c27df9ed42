package api

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// alters makes the world's controller accept what it is sent, but for topic "gone".
func (w *world) alters() {
	w.answer = func(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
		outcome := func(name string) (int16, *string) {
			if name == "gone" {
				return int16(protocol.UnknownTopicOrPartition), text("gone is gone")
			}
			return 0, nil
		}
		if q, ok := req.(*kmsg.AlterConfigsRequest); ok {
			resp := q.ResponseKind().(*kmsg.AlterConfigsResponse)
			for _, x := range q.Resources {
				r := kmsg.AlterConfigsResponseResource{ResourceType: x.ResourceType, ResourceName: x.ResourceName}
				r.ErrorCode, r.ErrorMessage = outcome(x.ResourceName)
				resp.Resources = append([]kmsg.AlterConfigsResponseResource{r}, resp.Resources...)
			}
			return resp, nil
		}
		q := req.(*kmsg.IncrementalAlterConfigsRequest)
		resp := q.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
		for _, x := range q.Resources {
			r := kmsg.IncrementalAlterConfigsResponseResource{ResourceType: x.ResourceType, ResourceName: x.ResourceName}
			r.ErrorCode, r.ErrorMessage = outcome(x.ResourceName)
			resp.Resources = append([]kmsg.IncrementalAlterConfigsResponseResource{r}, resp.Resources...)
		}
		return resp, nil
	}
}

// change is one resource with changes: key, operation, value, the value "<null>" for null.
type change struct {
	resourceType int8
	name         string
	ops          []op
}

type op struct {
	key   string
	op    int8 // 0 set, 1 delete, 2 append, 3 subtract
	value string
}

func nullable(s string) *string {
	if s == "<null>" {
		return nil
	}
	return &s
}

func legacy(changes ...change) *kmsg.AlterConfigsRequest {
	q := kmsg.NewPtrAlterConfigsRequest()
	for _, c := range changes {
		r := kmsg.AlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceType(c.resourceType), ResourceName: c.name}
		for _, o := range c.ops {
			r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: o.key, Value: nullable(o.value)})
		}
		q.Resources = append(q.Resources, r)
	}
	return q
}

func incremental(changes ...change) *kmsg.IncrementalAlterConfigsRequest {
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	for _, c := range changes {
		r := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceType(c.resourceType), ResourceName: c.name}
		for _, o := range c.ops {
			r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: o.key, Op: kmsg.IncrementalAlterConfigOp(o.op), Value: nullable(o.value)})
		}
		q.Resources = append(q.Resources, r)
	}
	return q
}

// alterCases hold for both requests. Texts and codes are Kafka 4.4's.
var alterCases = []struct {
	change
	code    protocol.Code
	message string
	sent    bool
}{
	{change{2, "a", []op{{"retention.ms", 0, "1"}}}, 0, "<null>", true},
	{change{2, "gone", []op{{"retention.ms", 0, "1"}}}, protocol.UnknownTopicOrPartition, "gone is gone", true},
	{change{2, "a", []op{{"retention.ms", 0, "<null>"}, {"flush.ms", 0, "<null>"}}}, protocol.InvalidRequest, "Null value not supported for : retention.ms, flush.ms", false},
	{change{2, "a", []op{{"retention.ms", 0, "1"}, {"retention.ms", 0, "1"}}}, protocol.InvalidRequest, "Error due to duplicate config keys", false},
	{change{2, "denied", []op{{"retention.ms", 0, "1"}}}, protocol.TopicAuthorizationFailed, "Topic authorization failed.", false},
	{change{32, "denied", []op{{"consumer.session.timeout.ms", 0, "50000"}}}, protocol.GroupAuthorizationFailed, "Group authorization failed.", false},
	{change{32, "g", []op{{"consumer.session.timeout.ms", 0, "50000"}}}, 0, "<null>", true},
	{change{16, "m", []op{{"interval.ms", 0, "50000"}}}, 0, "<null>", true},
	{change{0, "x", nil}, protocol.InvalidRequest, "Unknown resource type 0", false},
	{change{3, "x", nil}, protocol.InvalidRequest, "Unknown resource type 3", false},
	{change{4, "2", []op{{"num.io.threads", 0, "9"}}}, protocol.InvalidRequest, "Unexpected broker id, expected 1, but received 2", false},
	{change{4, "x", []op{{"num.io.threads", 0, "9"}}}, protocol.InvalidRequest, "Node id must be an integer, but it is: x", false},
	{change{4, "1", []op{{"num.io.threads", 0, "9"}}}, 0, "<null>", true},
	{change{4, "1", []op{{"node.id", 0, "9"}}}, protocol.InvalidRequest, "Cannot update these configs dynamically: [node.id]", false},
	{change{4, "1", []op{{"no.such", 0, "9"}}}, 0, "<null>", true},
	{change{4, "1", []op{{"num.io.threads", 0, "x"}}}, protocol.InvalidRequest, "Invalid value x for configuration num.io.threads: Not a number of type INT", false},
	{change{4, "1", []op{{"num.io.threads", 0, "900"}}}, protocol.InvalidRequest, "Dynamic thread count update validation failed for num.io.threads=900, value should not be greater than double the current value 8", false},
	{change{4, "", []op{{"log.retention.ms", 0, "77777777"}}}, 0, "<null>", true},
}

func TestAlterConfigs(t *testing.T) {
	versions(t, 33, func(t *testing.T, v int16) {
		for _, c := range alterCases {
			w := alterWorld(t)
			r := call[*kmsg.AlterConfigsResponse](w, v, legacy(c.change)).Resources[0]
			if code(t, r.ErrorCode, c.code, fmt.Sprint(c.change)); value(r.ErrorMessage) != c.message || int8(r.ResourceType) != c.resourceType || r.ResourceName != c.name {
				t.Errorf("%v: %+v %q", c.change, r, value(r.ErrorMessage))
			}
			if (len(w.requests()) == 1) != c.sent {
				t.Errorf("%v: %d requests", c.change, len(w.requests()))
			}
		}
		w := alterWorld(t)
		r := call[*kmsg.AlterConfigsResponse](w, v, legacy(change{8, "1", []op{{"root", 0, "INFO"}}})).Resources[0]
		if code(t, r.ErrorCode, protocol.InvalidRequest, "loggers"); value(r.ErrorMessage) != "Unknown resource type 8" {
			t.Error(value(r.ErrorMessage))
		}
		q := legacy(change{2, "gone", nil}, change{2, "twice", nil}, change{4, "7", nil}, change{2, "a", nil}, change{2, "twice", nil})
		q.ValidateOnly = true
		many := call[*kmsg.AlterConfigsResponse](w, v, q)
		for i, want := range []protocol.Code{protocol.UnknownTopicOrPartition, protocol.InvalidRequest, protocol.InvalidRequest, 0, protocol.InvalidRequest} {
			code(t, many.Resources[i].ErrorCode, want, many.Resources[i].ResourceName)
		}
		if sent := w.requests()[0].(*kmsg.AlterConfigsRequest); len(sent.Resources) != 2 || !sent.ValidateOnly {
			t.Errorf("sent %+v", sent)
		}
	})
}

// alterWorld has a controller that accepts, and some denials.
func alterWorld(t *testing.T) *world {
	w := newWorld(t)
	w.alters()
	w.s.Config = settings(t, "log.cleanup.policy=delete")
	w.set(controller.BrokerConfig, "1", "log.cleanup.policy", "delete")
	w.auth.deny(AlterConfigs, TopicResource, "denied")
	w.auth.deny(AlterConfigs, GroupResource, "denied")
	return w
}

func TestIncrementalAlterConfigs(t *testing.T) {
	cases := append(alterCases[:len(alterCases):len(alterCases)], []struct {
		change
		code    protocol.Code
		message string
		sent    bool
	}{
		{change{2, "a", []op{{"retention.ms", 1, "<null>"}}}, 0, "<null>", true},
		{change{2, "a", []op{{"retention.ms", 2, "<null>"}}}, protocol.InvalidRequest, "Null value not supported for : retention.ms", false},
		{change{4, "1", []op{{"num.io.threads", 7, "9"}}}, protocol.InvalidRequest, "Unknown operations type 7", false},
		{change{4, "1", []op{{"no.such", 2, "9"}}}, protocol.InvalidConfig, "Unknown config name: no.such", false},
		{change{4, "1", []op{{"num.io.threads", 2, "9"}}}, protocol.InvalidConfig, "Config value append is not allowed for config key: num.io.threads", false},
		{change{4, "1", []op{{"num.io.threads", 3, "9"}}}, protocol.InvalidConfig, "Config value subtract is not allowed for config key: num.io.threads", false},
		{change{4, "1", []op{{"log.cleanup.policy", 2, "compact"}}}, 0, "<null>", true},
		{change{4, "1", []op{{"log.cleanup.policy", 1, "<null>"}}}, 0, "<null>", true},
	}...)
	versions(t, 44, func(t *testing.T, v int16) {
		for _, c := range cases {
			w := alterWorld(t)
			r := call[*kmsg.IncrementalAlterConfigsResponse](w, v, incremental(c.change)).Resources[0]
			if code(t, r.ErrorCode, c.code, fmt.Sprint(c.change)); value(r.ErrorMessage) != c.message || int8(r.ResourceType) != c.resourceType || r.ResourceName != c.name {
				t.Errorf("%v: %+v %q", c.change, r, value(r.ErrorMessage))
			}
			if (len(w.requests()) == 1) != c.sent {
				t.Errorf("%v: %d requests", c.change, len(w.requests()))
			}
		}
		w := alterWorld(t)
		many := call[*kmsg.IncrementalAlterConfigsResponse](w, v, incremental(change{2, "twice", nil}, change{2, "gone", nil}, change{2, "a", nil}, change{2, "twice", nil}))
		for i, want := range []protocol.Code{protocol.InvalidRequest, protocol.UnknownTopicOrPartition, 0, protocol.InvalidRequest} {
			code(t, many.Resources[i].ErrorCode, want, many.Resources[i].ResourceName)
		}
		w.answer = nil
		r := call[*kmsg.IncrementalAlterConfigsResponse](w, v, incremental(change{2, "a", nil}, change{3, "a", nil}))
		code(t, r.Resources[0].ErrorCode, protocol.NotController, "no controller")
		code(t, r.Resources[1].ErrorCode, protocol.InvalidRequest, "what was decided before")
		w.auth.deny(AlterConfigs, ClusterResource, ClusterName)
		for _, c := range []change{{4, "1", nil}, {4, "", nil}, {16, "m", nil}, {8, "1", nil}} {
			code(t, call[*kmsg.IncrementalAlterConfigsResponse](w, v, incremental(c)).Resources[0].ErrorCode, protocol.ClusterAuthorizationFailed, "denied")
		}
	})
}

func TestAlterLoggers(t *testing.T) {
	for _, c := range []struct {
		name    string
		op      op
		code    protocol.Code
		message string
		level   slog.Level
	}{
		{"1", op{"root", 0, "DEBUG"}, 0, "<null>", slog.LevelDebug},
		{"1", op{"root", 0, "X"}, protocol.InvalidConfig, "Cannot set the log level of root to X as it is not a supported log level. Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN", 0},
		{"1", op{"no.such", 0, "INFO"}, protocol.InvalidConfig, "Logger no.such does not exist!", 0},
		{"1", op{"root", 1, "<null>"}, protocol.InvalidRequest, "Removing the log level of the root logger is not allowed", 0},
		{"1", op{"weir.a", 0, "ERROR"}, 0, "<null>", slog.LevelError},
		{"1", op{"weir.a", 1, "<null>"}, 0, "<null>", slog.LevelInfo},
		{"1", op{"no.such", 1, "<null>"}, protocol.InvalidConfig, "Logger no.such does not exist!", 0},
		{"1", op{"root", 2, "INFO"}, protocol.InvalidRequest, "APPEND operation is not allowed for the BROKER_LOGGER resource", 0},
		{"2", op{"root", 0, "INFO"}, protocol.InvalidRequest, "Unexpected node id. Expected 1, but received 2", 0},
		{"", op{"root", 0, "INFO"}, protocol.InvalidRequest, "Node id must be an integer, but it is: ", 0},
	} {
		w := newWorld(t)
		before := levels{RootLogger: slog.LevelInfo, "weir.a": slog.LevelWarn}
		all := maps.Clone(before)
		w.s.Loggers = all
		q := incremental(change{8, c.name, []op{c.op}})
		for _, q.ValidateOnly = range []bool{true, false} {
			r := call[*kmsg.IncrementalAlterConfigsResponse](w, 1, q).Resources[0]
			if code(t, r.ErrorCode, c.code, fmt.Sprint(c.op)); value(r.ErrorMessage) != c.message {
				t.Errorf("%v: %q", c.op, value(r.ErrorMessage))
			}
			want := maps.Clone(before)
			if !q.ValidateOnly && c.code == 0 {
				want[c.op.key] = c.level
			}
			if !maps.Equal(all, want) {
				t.Errorf("%v: levels %v", c.op, all)
			}
		}
		if len(w.requests()) > 0 {
			t.Error("the controller was asked about loggers")
		}
	}
}

func TestChangeList(t *testing.T) {
	for _, c := range []struct {
		list, change string
		add          bool
		want         string
	}{
		{"a,b", "c", true, "a,b,c"}, {"a,b", "b,c", true, "a,b,c"}, {"", "a", true, "a"}, {"a,b,c", "b", false, "a,c"}, {"a", "a", false, ""}, {"a", "x", false, "a"},
	} {
		if got := changeList(c.list, c.change, c.add); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
