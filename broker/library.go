package broker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"weir/config"
)

// ClusterConfig is what the brokers of StartCluster have in common.
type ClusterConfig struct {
	Config          // but for Settings
	Dir    string   // broker n keeps its data in Dir/n
	Set    []string // settings of all, key=value
	// SetOf are settings of one broker, by its node id, beside Set; nil: none.
	SetOf func(id int32) []string
}

// Cluster is several brokers in one process.
type Cluster struct {
	cfg     ClusterConfig
	mu      sync.Mutex
	brokers []*Broker // nil: stopped
}

// StartCluster runs n brokers, 1 to n, as one cluster in this process, on free ports of 127.0.0.1, and returns when every one of them serves
// and shows all others. Brokers that were there before, in the same Dir, come back.
func StartCluster(ctx context.Context, n int, cfg ClusterConfig) (*Cluster, error) {
	c := &Cluster{cfg: cfg, brokers: make([]*Broker, n)}
	if err := c.Restart(ctx, 1); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	errs := make([]error, n)
	var all sync.WaitGroup
	for id := 2; id <= n; id++ {
		all.Go(func() { errs[id-1] = c.Restart(ctx, int32(id)) })
	}
	all.Wait()
	err := errors.Join(errs...)
	if err == nil {
		err = c.Wait(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Restart starts a broker that is not running.
func (c *Cluster) Restart(ctx context.Context, id int32) error {
	set := append([]string{
		"node.id=" + strconv.Itoa(int(id)), "listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + filepath.Join(c.cfg.Dir, strconv.Itoa(int(id))),
	}, c.cfg.Set...)
	if c.cfg.SetOf != nil {
		set = append(set, c.cfg.SetOf(id)...)
	}
	if seeds := c.seeds(); seeds != "" {
		set = append(set, "cluster.join="+seeds)
	}
	source, err := config.FromSets(set)
	if err != nil {
		return err
	}
	one := c.cfg.Config
	if one.Settings, _, err = config.Resolve(source); err != nil {
		return err
	}
	b, err := Start(ctx, one)
	if err != nil {
		return fmt.Errorf("broker %d: %w", id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.brokers[id-1] = b
	return nil
}

// seeds are where the running brokers are.
func (c *Cluster) seeds() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, b := range c.brokers {
		if b != nil {
			out = append(out, b.hub.Address())
		}
	}
	return strings.Join(out, ",")
}

// Wait returns when every running broker shows all of them, in service.
func (c *Cluster) Wait(ctx context.Context) error {
	t := time.NewTicker(2 * time.Millisecond)
	defer t.Stop()
	c.mu.Lock()
	var running []*Broker
	for _, b := range c.brokers {
		if b != nil {
			running = append(running, b)
		}
	}
	c.mu.Unlock()
	for _, b := range running {
		for !b.shows(running) {
			select {
			case <-t.C:
			case <-ctx.Done():
				return fmt.Errorf("broker %d does not show all %d: %w", b.NodeID(), len(running), ctx.Err())
			}
		}
	}
	return nil
}

// shows says whether brokers serve as far as this one knows: these processes, and not ones before them.
func (b *Broker) shows(all []*Broker) bool {
	img := b.node.Image()
	for _, other := range all {
		if r := img.Broker(other.nodeID); r == nil || r.Fenced || r.Incarnation != other.incarnation {
			return false
		}
	}
	return true
}

// Broker returns the broker with an id, nil where it is not running.
func (c *Cluster) Broker(id int32) *Broker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.brokers[id-1]
}

// Addrs are the addresses of the running brokers, for clients.
func (c *Cluster) Addrs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, b := range c.brokers {
		if b != nil {
			out = append(out, b.Addr())
		}
	}
	return out
}

// Stop closes one broker. The others go on.
func (c *Cluster) Stop(id int32) error {
	c.mu.Lock()
	b := c.brokers[id-1]
	c.brokers[id-1] = nil
	c.mu.Unlock()
	if b == nil {
		return nil
	}
	return b.Close()
}

// Close closes all brokers at once: there is nobody left to hand over to.
func (c *Cluster) Close() error {
	c.mu.Lock()
	for _, b := range c.brokers {
		if b != nil {
			b.abrupt.Store(true)
		}
	}
	c.mu.Unlock()
	errs := make([]error, len(c.brokers))
	var all sync.WaitGroup
	for i := range c.brokers {
		all.Go(func() { errs[i] = c.Stop(int32(i + 1)) })
	}
	all.Wait()
	return errors.Join(errs...)
}
