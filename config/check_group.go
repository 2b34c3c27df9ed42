package config

import "strings"

// bounds are the broker settings between which a group's setting must stay; "" is none.
type bounds struct{ group, low, high string }

func (b *bounds) broker() string { return "group." + b.group }

var groupBounds = [...]bounds{
	{"consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"},
	{"consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"},
	{"consumer.assignment.interval.ms", "group.consumer.min.assignment.interval.ms", "group.consumer.max.assignment.interval.ms"},
	{"share.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"},
	{"share.session.timeout.ms", "group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms"},
	{"share.record.lock.duration.ms", "group.share.min.record.lock.duration.ms", "group.share.max.record.lock.duration.ms"},
	{"share.delivery.count.limit", "group.share.min.delivery.count.limit", "group.share.max.delivery.count.limit"},
	{"share.partition.max.record.locks", "group.share.min.partition.max.record.locks", "group.share.max.partition.max.record.locks"},
	{"share.assignment.interval.ms", "group.share.min.assignment.interval.ms", "group.share.max.assignment.interval.ms"},
	{"streams.heartbeat.interval.ms", "group.streams.min.heartbeat.interval.ms", "group.streams.max.heartbeat.interval.ms"},
	{"streams.session.timeout.ms", "group.streams.min.session.timeout.ms", "group.streams.max.session.timeout.ms"},
	{"streams.num.standby.replicas", "", "group.streams.max.standby.replicas"},
	{"streams.assignment.interval.ms", "group.streams.min.assignment.interval.ms", "group.streams.max.assignment.interval.ms"},
	{"streams.task.offset.interval.ms", "group.streams.min.task.offset.interval.ms", ""},
	{"streams.num.warmup.replicas", "", "group.streams.max.warmup.replicas"},
}

// CheckGroupSet holds all of a group's own settings (l.Group) against their rows and against what the broker allows groups; a
// *InvalidConfig says what is wrong.
func (l *Layers) CheckGroupSet() error {
	set := sortedKeys(l.Group)
	for _, name := range set {
		if Lookup(GroupScope, name) == nil {
			return &InvalidConfig{"Unknown group config name: " + name}
		}
	}
	for _, name := range set {
		if wrong := Lookup(GroupScope, name).Check(l.Group[name]); wrong != "" {
			return &InvalidConfig{wrong}
		}
	}
	if wrong := l.checkTags(); wrong != "" {
		return &InvalidConfig{wrong}
	}
	for _, b := range groupBounds {
		if wrong := l.checkBounds(b); wrong != "" {
			return &InvalidConfig{wrong}
		}
	}
	return l.checkGroupTogether()
}

// checkTags: unlike other lists, this one may not repeat an item.
func (l *Layers) checkTags() string {
	const key = "streams.rack.aware.assignment.tags"
	items := SplitList(l.Group[key])
	if n := len(items); len(unique(items)) < n {
		return key + " must not contain duplicate tag keys."
	}
	return ""
}

func (l *Layers) checkBounds(b bounds) string {
	text, ok := l.Group[b.group]
	if !ok {
		return ""
	}
	n := toInt64(b.group, text)
	switch {
	case b.low != "" && b.high != "" && (n < l.Int64(b.low) || n > l.Int64(b.high)):
		return b.group + " must be in the range " + l.String(b.low) + " to " + l.String(b.high) + " inclusive."
	case b.low == "" && n > l.Int64(b.high):
		return b.group + " must be less than or equal to " + l.String(b.high)
	case b.high == "" && n < l.Int64(b.low):
		return b.group + " must be greater than or equal to " + l.String(b.low)
	}
	return ""
}

func (l *Layers) checkGroupTogether() error {
	const assignor, dead = "streams.assignor.name", "errors.deadletterqueue.topic.name"
	if name, ok := l.Group[assignor]; ok && !has(l.List("group.streams.assignors"), strings.TrimSpace(name)) {
		return &InvalidConfig{assignor + " '" + name + "' is not a registered task assignor. Registered assignors are: [" +
			strings.Join(l.List("group.streams.assignors"), ", ") + "]."}
	}
	for _, kind := range [...]string{"consumer", "share", "streams"} {
		beat, session := kind+".heartbeat.interval.ms", kind+".session.timeout.ms"
		_, setsBeat := l.Group[beat]
		_, setsSession := l.Group[session]
		if (setsBeat || setsSession) && l.groupInt(session) <= l.groupInt(beat) {
			return &InvalidConfig{session + " must be greater than " + beat}
		}
	}
	if strings.HasPrefix(strings.TrimSpace(l.Group[dead]), "__") {
		return &InvalidConfig{dead + ": DLQ topic name must not start with '__'"}
	}
	return nil
}

func (l *Layers) groupInt(name string) int64 {
	if v, ok := l.Group[name]; ok {
		return toInt64(name, v)
	}
	return l.Int64("group." + name)
}

// matchers are the words that a client metrics subscription selects clients by.
var matchers = [...]string{
	"client_instance_id", "client_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port",
}

// CheckClientMetricsSet holds the settings of a client metrics subscription against their rows: a *InvalidRequest or a
// *InvalidConfig says what is wrong. validPattern says whether a text is a regular expression.
func CheckClientMetricsSet(set map[string]string, validPattern func(string) bool) error {
	for _, name := range sortedKeys(set) {
		s := Lookup(ClientMetricsScope, name)
		if s == nil {
			return &InvalidRequest{"Unknown client metrics configuration: " + name}
		}
		if wrong := s.Check(set[name]); wrong != "" {
			return &InvalidConfig{wrong}
		}
	}
	if v, ok := set["interval.ms"]; ok {
		if n := toInt64("interval.ms", v); n < 100 || n > hours {
			return &InvalidRequest{"Invalid value " + strings.TrimSpace(v) + " for interval.ms, interval must be between 100 and 3600000 (1 hour)"}
		}
	}
	for _, item := range SplitList(set["match"]) {
		name, pattern, ok := strings.Cut(item, "=")
		if !ok || !has(matchers[:], strings.TrimSpace(name)) || !validPattern(strings.TrimSpace(pattern)) {
			return &InvalidConfig{"Illegal client matching pattern: " + item}
		}
	}
	return nil
}
