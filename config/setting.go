package config

// Type is the type of a setting's value. The numbers are those of DescribeConfigs (v3, KIP-569); 0 is Kafka's UNKNOWN.
type Type int8

// The types, by Kafka's names.
const (
	Unknown  Type = 0
	Boolean  Type = 1
	String   Type = 2
	Int      Type = 3 // 32 bits
	Short    Type = 4 // 16 bits
	Long     Type = 5 // 64 bits
	Double   Type = 6
	List     Type = 7 // separated by commas
	Class    Type = 8 // a Java class name: kept and shown, never loaded
	Password Type = 9 // never shown
)

// Scope is what a setting is a property of.
type Scope int8

// The scopes. Their order is the order of the tables, no protocol number.
const (
	BrokerScope Scope = iota
	TopicScope
	GroupScope
	ClientMetricsScope
)

// Update says how a broker setting may be changed while the broker runs. Settings of the other scopes are always changeable.
type Update int8

// The update modes, by the words of Kafka's documentation.
const (
	ReadOnly    Update = iota // by a restart only
	PerBroker                 // for one broker, not as the cluster's default
	ClusterWide               // for one broker or as the cluster's default
)

// Synonym is a broker setting that gives a topic or group setting its value where that is not set itself.
type Synonym struct {
	Name  string
	Times int64 // what its value is multiplied by: hours to milliseconds; 0 is 1
}

// Setting is one row of the table. Rows are never changed.
type Setting struct {
	Name     string
	Type     Type
	Default  string // in Kafka's text form
	Null     bool   // there is no default: Default is ""
	Scope    Scope
	Update   Update
	Honoured bool   // this binary acts on it; otherwise it is checked and shown, and nothing more
	Needless string // why nothing will ever have to be done with it; "" where it is acted on, or is not yet
	Internal bool   // Kafka hides it: it is described only where it is set
	Weir     bool   // not one of Kafka's names
	Rule     *Rule
	Synonyms []Synonym // the broker's settings behind a topic or group setting, the strongest first
	Doc      string
}

// Sensitive says that the value must never be shown or logged.
func (s *Setting) Sensitive() bool { return s.Type == Password }

// Lookup finds a setting by its exact name; nil where there is none.
func Lookup(scope Scope, name string) *Setting {
	for _, t := range tables(scope) {
		lo, hi := 0, len(t)
		for lo < hi {
			if mid := (lo + hi) / 2; t[mid].Name < name {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		if lo < len(t) && t[lo].Name == name {
			return &t[lo]
		}
	}
	return nil
}

// Settings returns every setting of a scope, sorted by name.
func Settings(scope Scope) []*Setting {
	ts := tables(scope)
	n := 0
	for _, t := range ts {
		n += len(t)
	}
	all := make([]*Setting, 0, n)
	at := make([]int, len(ts))
	for len(all) < n {
		best := -1
		for i, t := range ts {
			if at[i] < len(t) && (best < 0 || t[at[i]].Name < ts[best][at[best]].Name) {
				best = i
			}
		}
		all = append(all, &ts[best][at[best]])
		at[best]++
	}
	return all
}
