package config

import (
	"math"
	"strconv"
	"strings"
)

// Rule is what a value must hold besides its type. The zero Rule allows every value of the type.
type Rule struct {
	Min, Max     int64   // whole numbers; both 0: no bounds
	MinF, MaxF   float64 // Double; both 0: no bounds
	Words        []string
	Fold         bool   // Words are compared without case
	NonEmpty     bool   // String: at least one character. List: at least one item
	Custom       check  // instead of the above
	CustomAllows string // what Custom allows, for people
}

// check says what is wrong with a value, in Kafka's words (the whole message); "" is nothing. value is trimmed.
type check func(name, value string) string

// Allowed says for people what the setting's values may be.
func (s *Setting) Allowed() string {
	r := s.Rule
	if r == nil {
		r = &Rule{}
	}
	if r.Custom != nil {
		return r.CustomAllows
	}
	switch s.Type {
	case Boolean:
		return "true or false"
	case Int, Short, Long:
		return "a whole number" + r.bounds(s.Type)
	case Double:
		if r.MinF != 0 || r.MaxF != 0 {
			return "a number from " + formatDouble(r.MinF) + " to " + formatDouble(r.MaxF)
		}
		return "a number"
	case List:
		text := "a list, separated by commas"
		if len(r.Words) > 0 {
			text = "a list of " + strings.Join(r.Words, ", ") + ", separated by commas"
		}
		if r.NonEmpty {
			text += ", not empty"
		}
		return text
	case Password:
		return "a secret"
	}
	switch {
	case len(r.Words) > 0:
		return "one of " + strings.Join(r.Words, ", ")
	case r.NonEmpty:
		return "a text that is not empty"
	}
	return "a text"
}

func (r *Rule) bounds(t Type) string {
	lo, hi := r.limits(t)
	_, top := limits(t)
	bottom, _ := limits(t)
	switch {
	case lo != bottom && hi != top:
		return " from " + strconv.FormatInt(lo, 10) + " to " + strconv.FormatInt(hi, 10)
	case lo != bottom:
		return " of at least " + strconv.FormatInt(lo, 10)
	case hi != top:
		return " of at most " + strconv.FormatInt(hi, 10)
	}
	return ""
}

// limits are the bounds that hold, the type's own where the rule has none.
func (r *Rule) limits(t Type) (lo, hi int64) {
	lo, hi = limits(t)
	if r.Min != 0 || r.Max != 0 {
		lo, hi = max(lo, r.Min), min(hi, r.Max)
	}
	return lo, hi
}

func limits(t Type) (lo, hi int64) {
	switch t {
	case Int:
		return math.MinInt32, math.MaxInt32
	case Short:
		return math.MinInt16, math.MaxInt16
	}
	return math.MinInt64, math.MaxInt64
}

// Check says what is wrong with a value, in Kafka's words; "" is nothing. Spaces around the value do not count, as in Kafka.
func (s *Setting) Check(value string) string {
	if s.Type != Password {
		value = strings.TrimSpace(value)
	}
	r := s.Rule
	if r == nil {
		r = &Rule{}
	}
	wrong := func(why string) string {
		return "Invalid value " + value + " for configuration " + s.Name + ": " + why
	}
	switch s.Type {
	case Boolean:
		if !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
			return wrong("Expected value to be either true or false")
		}
	case Int, Short, Long:
		n, ok := parseWhole(value, s.Type)
		if !ok {
			return wrong("Not a number of type " + s.Type.String())
		}
		if r.Custom == nil {
			return r.checkWhole(n, s.Type, wrong)
		}
	case Double:
		f, err := strconv.ParseFloat(value, 64)
		if err != nil && !math.IsInf(f, 0) {
			return wrong("Not a number of type DOUBLE")
		}
		if r.MinF != 0 || r.MaxF != 0 {
			value = javaDouble(f) // Kafka names the number here, not its text
			return r.checkDouble(f, wrong)
		}
	}
	if r.Custom != nil {
		return r.Custom(s.Name, value)
	}
	switch s.Type {
	case List:
		return r.checkList(s.Name, value)
	case String:
		return r.checkString(s.Name, value, wrong)
	}
	return ""
}

func (r *Rule) checkWhole(n int64, t Type, wrong func(string) string) string {
	lo, hi := r.limits(t)
	switch {
	case n < lo:
		return wrong("Value must be at least " + strconv.FormatInt(lo, 10))
	case n > hi:
		return wrong("Value must be no more than " + strconv.FormatInt(hi, 10))
	}
	return ""
}

func (r *Rule) checkDouble(f float64, wrong func(string) string) string {
	switch {
	case !(f >= r.MinF): // NaN too
		return wrong("Value must be at least " + formatDouble(r.MinF))
	case f > r.MaxF:
		return wrong("Value must be no more than " + formatDouble(r.MaxF))
	}
	return ""
}

func (r *Rule) checkString(name, value string, wrong func(string) string) string {
	if r.NonEmpty && value == "" {
		return wrong("String must be non-empty")
	}
	if len(r.Words) == 0 {
		return ""
	}
	for _, w := range r.Words {
		if w == value || r.Fold && strings.EqualFold(w, value) {
			return ""
		}
	}
	if r.Fold {
		return wrong("String must be one of (case insensitive): " + strings.Join(r.Words, ", "))
	}
	return wrong("String must be one of: " + strings.Join(r.Words, ", "))
}

// checkList is Kafka's ValidList (KIP-1161): items are not empty. What is repeated was dropped before, with a warning in Kafka's log.
func (r *Rule) checkList(name, value string) string {
	items := SplitList(value)
	if len(items) == 0 {
		if !r.NonEmpty {
			return ""
		}
		valid := "any non-empty value"
		if len(r.Words) > 0 {
			valid = "[" + strings.Join(r.Words, ", ") + "]"
		}
		return "Configuration '" + name + "' must not be empty. Valid values include: " + valid
	}
	for _, item := range items {
		if item == "" {
			return "Configuration '" + name + "' values must not be empty."
		}
		known := len(r.Words) == 0
		for _, w := range r.Words {
			known = known || w == item
		}
		if !known {
			return "Invalid value " + item + " for configuration " + name + ": String must be one of: " + strings.Join(r.Words, ", ")
		}
	}
	return ""
}

// SplitList takes a List value apart as Kafka does: at commas, without the spaces around them. An empty value has no items; an
// item can be empty.
func SplitList(value string) []string {
	value = strings.TrimSpace(value)
	if value == "" {
		return nil
	}
	items := strings.Split(value, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

// unique drops the items that came before, in place.
func unique(items []string) []string {
	kept := items[:0]
	for _, item := range items {
		if !has(kept, item) {
			kept = append(kept, item)
		}
	}
	return kept
}

func parseWhole(value string, t Type) (int64, bool) {
	bits := 64
	switch t {
	case Int:
		bits = 32
	case Short:
		bits = 16
	}
	n, err := strconv.ParseInt(value, 10, bits)
	return n, err == nil
}

// formatDouble writes a Double as Java does, for the values that occur in bounds.
func formatDouble(f float64) string {
	return strconv.FormatFloat(f, 'g', -1, 64)
}

var typeNames = [...]string{"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"}

// String is Kafka's name of the type.
func (t Type) String() string {
	if int(t) < 0 || int(t) >= len(typeNames) {
		return typeNames[Unknown]
	}
	return typeNames[t]
}
