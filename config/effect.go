package config

import "strings"

// authorizerKeys are settings of Kafka's authorizer: known, though they are no broker's.
var authorizerKeys = [...]string{"allow.everyone.if.no.acl.found", "super.users"}

// withoutEffect are the keys that were set and that nothing is done with.
type withoutEffect struct {
	yet, ever []string
}

// text is one line, for a compose file that was made for Kafka sets several: "" where there are none.
func (w *withoutEffect) text() string {
	var parts []string
	if len(w.yet) > 0 {
		parts = append(parts, "known, but without effect yet: "+strings.Join(w.yet, ", "))
	}
	if len(w.ever) > 0 {
		parts = append(parts, "known, but not needed here: "+strings.Join(w.ever, ", "))
	}
	return strings.Join(parts, "; ")
}

// noteEffect adds a key whose value is valid, is not the default, and changes nothing.
func (s *Static) noteEffect(w *withoutEffect, e *entry, row *Setting) {
	switch {
	case row.Honoured && (e.key == row.Name || perListener(row.Name)):
	case !row.Null && row.Canonical(e.value) == row.Canonical(row.Default):
	case row.Null && e.value == "":
	case row.Needless != "":
		w.ever = append(w.ever, e.key)
	default:
		w.yet = append(w.yet, e.key)
	}
}

// perListener says that a setting that is acted on can be another one for a single listener.
func perListener(name string) bool {
	return name == "max.connections" || name == "max.connection.creation.rate"
}
