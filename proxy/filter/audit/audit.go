package audit

import (
	"encoding/json"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"weir/protocol"
	"weir/proxy/filter"
)

// Line is what is written of an exchange.
type Line struct {
	Time      time.Time `json:"time"`
	Cluster   string    `json:"cluster,omitempty"`
	Broker    int32     `json:"broker"` // -1: the bootstrap address
	Client    string    `json:"client"`
	Principal string    `json:"principal,omitempty"`
	ClientID  string    `json:"client_id"`
	API       string    `json:"api"`
	Version   int16     `json:"version"`
	Bytes     int       `json:"request_bytes"`
	Answered  int       `json:"response_bytes"`
	TookMs    float64   `json:"took_ms"`
	Refused   string    `json:"refused,omitempty"`
}

// Filter writes lines.
type Filter struct {
	keys []int16
	lost atomic.Int64

	mu sync.Mutex
	to io.Writer
}

// New makes a filter that writes to a writer; keys are Kafka's names of what to write of, none is all.
func New(to io.Writer, keys []string) (*Filter, error) {
	all, err := filter.Keys(keys)
	return &Filter{keys: all, to: to}, err
}

// Lost is how many lines could not be written.
func (f *Filter) Lost() int64 { return f.lost.Load() }

// Hooks implements filter.Filter.
func (f *Filter) Hooks() (hooks []filter.Hook) {
	for _, key := range f.keys {
		hooks = append(hooks, filter.Hook{Key: key, After: f.write})
	}
	return hooks
}

func (f *Filter) write(x *filter.Exchange) {
	l := Line{
		Time: x.Received.UTC(), Cluster: x.Cluster, Broker: x.Broker, Client: x.Client.Remote, Principal: x.Client.Principal, ClientID: x.ClientID,
		Version: x.Version, Bytes: x.Bytes, Answered: x.Answered, TookMs: float64(x.Took.Microseconds()) / 1000,
	}
	if a, ok := protocol.Lookup(x.Key); ok {
		l.API = a.Name
	}
	if x.Code != protocol.None {
		l.Refused = x.Code.String()
	}
	b, err := json.Marshal(l)
	if err == nil {
		f.mu.Lock()
		_, err = f.to.Write(append(b, '\n'))
		f.mu.Unlock()
	}
	if err != nil {
		f.lost.Add(1)
	}
}
