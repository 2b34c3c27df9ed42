package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"weir/protocol"
	"weir/proxy/filter"
)

// Config is what the filter is made of.
type Config struct {
	Seed   uint64  `yaml:"seed"`
	Faults []Fault `yaml:"faults"`
}

// Fault is one thing that goes wrong: a delay, an error code or the end of the connection.
type Fault struct {
	Keys       []string      `yaml:"keys"` // Kafka's names; none is all but what no client can begin without
	Rate       float64       `yaml:"rate"` // 0 to 1
	Delay      time.Duration `yaml:"delay"`
	Error      string        `yaml:"error"` // Kafka's name of a code
	Disconnect bool          `yaml:"disconnect"`
}

var errDisconnect = errors.New("chaos: disconnect")

// Filter makes faults.
type Filter struct {
	faults []fault

	mu  sync.Mutex
	rng *rand.Rand
}

type fault struct {
	Fault
	keys []int16
	code protocol.Code
}

// New makes the filter.
func New(c Config) (*Filter, error) {
	f := &Filter{rng: rand.New(rand.NewPCG(c.Seed, 0))}
	if len(c.Faults) == 0 {
		return nil, errors.New("there is no fault")
	}
	for i, x := range c.Faults {
		one := fault{Fault: x}
		var err error
		if one.keys, err = filter.Keys(x.Keys); err != nil {
			return nil, fmt.Errorf("fault %d: %w", i+1, err)
		}
		if x.Rate <= 0 || x.Rate > 1 {
			return nil, fmt.Errorf("fault %d: rate %g: allowed is above 0 up to 1", i+1, x.Rate)
		}
		if x.Delay < 0 || x.Delay == 0 && x.Error == "" && !x.Disconnect || x.Error != "" && x.Disconnect {
			return nil, fmt.Errorf("fault %d: allowed is a delay, and an error or a disconnect", i+1)
		}
		if x.Error != "" {
			if one.code, err = code(x.Error); err != nil {
				return nil, fmt.Errorf("fault %d: %w", i+1, err)
			}
		}
		f.faults = append(f.faults, one)
	}
	return f, nil
}

// code finds an error code by its name.
func code(name string) (protocol.Code, error) {
	for c := protocol.Code(-1); c < 500; c++ {
		if c.String() == name && c != protocol.None {
			return c, nil
		}
	}
	return 0, fmt.Errorf("%q is no error code of Kafka", name)
}

// Hooks implements filter.Filter.
func (f *Filter) Hooks() []filter.Hook {
	return []filter.Hook{{Key: filter.EveryKey, Before: func(x *filter.Exchange) error {
		for _, one := range f.meets(x.Key) {
			if err := x.Wait(one.Delay); err != nil {
				return err
			}
			if one.Disconnect {
				return errDisconnect
			}
			if one.code != protocol.None {
				return filter.Refuse(one.code, "A fault on purpose.")
			}
		}
		return nil
	}}}
}

// meets decides which faults a request meets. Each takes one number for each request of its keys, whatever the others do.
func (f *Filter) meets(key int16) (all []*fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.faults {
		one := &f.faults[i]
		if one.keys[0] == filter.EveryKey && filter.Begins(key) || one.keys[0] != filter.EveryKey && !slices.Contains(one.keys, key) {
			continue
		}
		if f.rng.Float64() < one.Rate {
			all = append(all, one)
		}
	}
	return all
}
