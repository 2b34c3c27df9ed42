package config

import (
	"math"
	"strconv"
	"strings"
)

// brokerText is the value in force of a broker setting, as it was written.
func (l *Layers) brokerText(name string) (string, bool) {
	if v, ok := l.Broker[name]; ok {
		return v, true
	}
	if v, ok := l.Cluster[name]; ok {
		return v, true
	}
	if e := l.Static.find(name); e != nil {
		return e.value, true
	}
	s := known(name)
	return s.Default, !s.Null
}

// Has says whether a broker setting has a value in any layer.
func (l *Layers) Has(name string) bool { _, ok := l.brokerText(name); return ok }

// String is the value in force of a broker setting; "" where there is none. It panics on a name that the table does not have.
func (l *Layers) String(name string) string { v, _ := l.brokerText(name); return strings.TrimSpace(v) }

// Int is the value in force of an Int or Short broker setting; 0 where there is none.
func (l *Layers) Int(name string) int { return int(l.Int64(name)) }

// ListenerInt is the value in force of an Int broker setting for one listener: that with the listener's prefix where any layer has one.
func (l *Layers) ListenerInt(listener, name string) int {
	key := "listener.name." + strings.ToLower(listener) + "." + name
	for _, layer := range [...]map[string]string{l.Broker, l.Cluster} {
		if v, ok := layer[key]; ok {
			return int(toInt64(name, v))
		}
	}
	if e := l.Static.find(key); e != nil {
		return int(toInt64(name, e.value))
	}
	return l.Int(name)
}

// Int64 is the value in force of an Int, Short or Long broker setting; 0 where there is none.
func (l *Layers) Int64(name string) int64 { return toInt64(name, l.String(name)) }

// Bool is the value in force of a Boolean broker setting.
func (l *Layers) Bool(name string) bool { return strings.EqualFold(l.String(name), "true") }

// Float is the value in force of a Double broker setting; 0 where there is none.
func (l *Layers) Float(name string) float64 { return toFloat(name, l.String(name)) }

// List is the value in force of a List broker setting, taken apart, without repetition.
func (l *Layers) List(name string) []string { return unique(SplitList(l.String(name))) }

// retentionKey is the strongest of the three settings that say how long a log is kept.
func (l *Layers) retentionKey() string {
	for _, syn := range Lookup(TopicScope, "retention.ms").Synonyms {
		if l.Has(syn.Name) {
			return syn.Name
		}
	}
	return "log.retention.hours"
}

func (l *Layers) retentionMs() int64 {
	return toInt64("retention.ms", l.topicText(Lookup(TopicScope, "retention.ms")))
}

// topicText is the value in force of a topic setting.
func (l *Layers) topicText(s *Setting) string {
	if v, ok := l.Topic[s.Name]; ok {
		return v
	}
	return l.inherited(s)
}

// inherited is the value of a topic or group setting that is not set itself: the first synonym that has one.
func (l *Layers) inherited(s *Setting) string {
	for _, syn := range s.Synonyms {
		v, ok := l.brokerText(syn.Name)
		if !ok {
			continue
		}
		if syn.Times == 0 && s.Name != "retention.ms" {
			return v
		}
		n := toInt64(syn.Name, v)
		if n < 0 {
			return "-1" // no limit, in whatever unit, and whatever the number
		}
		return strconv.FormatInt(n*max(1, syn.Times), 10)
	}
	return s.Default
}

// Canonical writes a valid value as Kafka shows it: without spaces, true and false in small letters, numbers as Java prints them.
func (s *Setting) Canonical(value string) string {
	trimmed := strings.TrimSpace(value)
	switch s.Type {
	case Boolean:
		return strings.ToLower(trimmed)
	case Int, Short, Long:
		if n, err := strconv.ParseInt(trimmed, 10, 64); err == nil {
			return strconv.FormatInt(n, 10)
		}
	case Double:
		if f, err := strconv.ParseFloat(trimmed, 64); err == nil {
			return javaDouble(f)
		}
	case List:
		items := SplitList(trimmed)
		if s.Rule == nil || s.Rule.Custom == nil {
			items = unique(items)
		}
		return strings.Join(items, ",")
	}
	return trimmed
}

// javaDouble is Double.toString: at least one digit after the point, an exponent below 10^-3 and from 10^7 on.
func javaDouble(f float64) string {
	if math.IsNaN(f) {
		return "NaN"
	}
	if math.IsInf(f, 0) {
		return strings.TrimPrefix(strconv.FormatFloat(f, 'f', -1, 64), "+") + "inity"
	}
	if a := math.Abs(f); a == 0 || a >= 1e-3 && a < 1e7 {
		text := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(text, ".") {
			text += ".0"
		}
		return text
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent)
	return mantissa + "E" + strconv.Itoa(n)
}
