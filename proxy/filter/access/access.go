package access

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"weir/protocol"
	"weir/proxy/filter"
)

// Config is what the filter is made of.
type Config struct {
	Rules []Rule `yaml:"rules"`
}

// Rule is one line. What it does not name fits always.
type Rule struct {
	Allow   bool     `yaml:"allow"`   // else it denies
	Keys    []string `yaml:"keys"`    // Kafka's names
	Clients []string `yaml:"clients"` // client ids, * stands for anything
}

// Filter decides by rules.
type Filter struct{ rules []rule }

type rule struct {
	allow   bool
	keys    []int16
	clients []string
}

// New makes the filter.
func New(c Config) (*Filter, error) {
	if len(c.Rules) == 0 {
		return nil, errors.New("there is no rule")
	}
	f := new(Filter)
	for i, r := range c.Rules {
		keys, err := filter.Keys(r.Keys)
		if err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
		for _, p := range r.Clients {
			if _, err := path.Match(p, ""); err != nil {
				return nil, fmt.Errorf("rule %d: client id %q: %w", i+1, p, err)
			}
		}
		f.rules = append(f.rules, rule{r.Allow, keys, r.Clients})
	}
	return f, nil
}

func (r *rule) fits(key int16, client string) bool {
	if r.keys[0] != filter.EveryKey && !slices.Contains(r.keys, key) {
		return false
	}
	return len(r.clients) == 0 || slices.ContainsFunc(r.clients, func(p string) bool { ok, _ := path.Match(p, client); return ok })
}

func (f *Filter) allowed(key int16, client string) bool {
	if filter.Begins(key) {
		return true
	}
	for i := range f.rules {
		if f.rules[i].fits(key, client) {
			return f.rules[i].allow
		}
	}
	return true
}

// Limit implements filter.Limiter: what is denied to everybody is not there.
func (f *Filter) Limit(a protocol.API) int16 {
	if filter.Begins(a.Key) {
		return a.Max
	}
	for _, r := range f.rules {
		if r.keys[0] != filter.EveryKey && !slices.Contains(r.keys, a.Key) {
			continue
		}
		if r.allow {
			break
		}
		if len(r.clients) == 0 {
			return -1
		}
	}
	return a.Max
}

// Hooks implements filter.Filter.
func (f *Filter) Hooks() []filter.Hook {
	return []filter.Hook{{Key: filter.EveryKey, Before: func(x *filter.Exchange) error {
		if f.allowed(x.Key, x.ClientID) {
			return nil
		}
		return filter.Refuse(protocol.ClusterAuthorizationFailed, "The proxy does not allow this.")
	}}}
}
