package config

// InvalidConfig is a value that Kafka answers with INVALID_CONFIG. Its text goes to clients, in Kafka's words.
type InvalidConfig struct{ Message string }

func (e *InvalidConfig) Error() string { return e.Message }

// InvalidRequest is a change that Kafka answers with INVALID_REQUEST. Its text goes to clients, in Kafka's words.
type InvalidRequest struct{ Message string }

func (e *InvalidRequest) Error() string { return e.Message }

// BadValue is a value that the broker does not start with: one line with key, value and what is allowed.
type BadValue struct {
	Key, Value string // Value is "[hidden]" where the setting is sensitive
	Allowed    string // "a whole number of at least 1"
	Origin     string // where it was set: a file's name, a variable's name, --set
}

func (e *BadValue) Error() string {
	s := e.Key + "=" + e.Value + ": allowed is " + e.Allowed
	if e.Origin != "" {
		s += " (set by " + e.Origin + ")"
	}
	return s
}
