package readonly

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/proxy/filter"
)

// writes are the keys that change something, groups those that change only groups. A test wants each key of a client in one of three lists.
var (
	writes = []int16{0, 19, 20, 21, 22, 24, 25, 26, 27, 28, 30, 31, 33, 34, 37, 38, 39, 40, 43, 44, 45, 49, 51, 57, 64, 80, 81, 83, 85, 86, 94}
	groups = []int16{8, 11, 12, 13, 14, 42, 47, 68, 76, 78, 79, 88, 91, 92, 93}
	reads  = []int16{1, 2, 3, 9, 10, 15, 16, 17, 18, 23, 29, 32, 35, 36, 41, 46, 48, 50, 55, 60, 61, 65, 66, 69, 71, 72, 74, 75, 77, 84, 87, 89, 90}
)

// Config is what the filter is made of.
type Config struct {
	Groups bool `yaml:"groups"` // refuse what changes groups too: joining, committing
}

// Filter refuses writes.
type Filter struct{ refused []int16 }

// New makes the filter.
func New(c Config) (*Filter, error) {
	f := &Filter{refused: writes}
	if c.Groups {
		f.refused = append(slices.Clone(writes), groups...)
	}
	return f, nil
}

// Limit implements filter.Limiter: clients see none of what is refused, but for Produce, of which librdkafka wants to see something.
func (f *Filter) Limit(a protocol.API) int16 {
	if a.Key != 0 && slices.Contains(f.refused, a.Key) {
		return -1
	}
	return a.Max
}

// Hooks implements filter.Filter.
func (f *Filter) Hooks() []filter.Hook {
	hooks := []filter.Hook{filter.OnRequest(func(_ *filter.Exchange, r *kmsg.MetadataRequest) (kmsg.Response, error) {
		r.AllowAutoTopicCreation = false
		return nil, nil
	})}
	for _, key := range f.refused {
		hooks = append(hooks, filter.Hook{Key: key, Before: func(*filter.Exchange) error {
			return filter.Refuse(protocol.ClusterAuthorizationFailed, "This address is read-only.")
		}})
	}
	return hooks
}
