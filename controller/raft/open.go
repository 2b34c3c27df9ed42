package raft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"weir/controller"
)

// open opens the stores, looks at what they hold, founds the cluster where there is none, and starts Raft.
func (n *Node) open() (err error) {
	c := &n.cfg
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(c.Dir)); err != nil {
		return err
	}
	stable, exists, err := openStable(c.Dir, n.fail, n.noSpace)
	if err != nil {
		return tooNew(err)
	}
	logDir := filepath.Join(c.Dir, "log")
	log, cut, err := openLog(logDir, n.fail, n.noSpace)
	if err != nil {
		return tooNew(err)
	}
	defer func() {
		if err != nil {
			log.close()
		}
	}()
	if cut > 0 {
		c.Logger.Warn("metadata log: removed a write that was cut short", "dir", logDir, "bytes", cut)
	}
	snaps, err := raft.NewFileSnapshotStoreWithLogger(c.Dir, 2, newRaftLogger(c.Logger, false))
	if err != nil {
		return err
	}
	n.log, n.stable = log, stable
	state, err := readState(log, snaps)
	if err != nil {
		return err
	}
	if n.transport, err = n.newTransport(); err != nil {
		return err
	}
	if state.empty {
		if err := n.found(log, stable, snaps); err != nil {
			return err
		}
	} else if err := n.checkState(state, stable, exists); err != nil {
		return err
	}
	stable.electing.Store(n.sole)
	if n.raft, err = raft.NewRaft(n.raftConfig(), n.machine, log, stable, snaps, n.transport); err != nil {
		return err
	}
	log.running.Store(true)
	stable.running.Store(true)
	return nil
}

// newTransport connects the node to the others; a node without a port talks to nobody.
func (n *Node) newTransport() (raft.Transport, error) {
	if n.cfg.Streams == nil {
		_, t := raft.NewInmemTransport(placeholder(n.cfg.NodeID))
		return t, nil
	}
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer{n.cfg.Streams, n}, ServerAddressProvider: addresses{n.cfg.AddressOf}, MaxPool: 3, Timeout: streamTimeout,
		Logger: newRaftLogger(n.cfg.Logger, false),
	}), nil
}

// Times of streams: for what Raft sends, for opening one, and between two attempts of a leader to open one.
const (
	streamTimeout = 10 * time.Second
	openTimeout   = time.Second
	openPause     = 25 * time.Millisecond
)

// layer is Streams as the library wants it.
type layer struct {
	Streams
	n *Node
}

// Dial implements raft.StreamLayer. While this node leads it goes on until somebody answers: of an error the library makes a pause that grows to
// ten seconds, and a node that comes back would wait that long for what it missed.
func (l layer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	for {
		nc, err := l.once(string(to), min(timeout, openTimeout))
		if err == nil || !l.n.log.running.Load() || l.n.raft.State() != raft.Leader || len(l.places(string(to))) == 0 {
			return nc, err
		}
		select {
		case <-time.After(openPause):
		case <-l.n.closing:
			return nil, err
		}
	}
}

// once tries the address, and where else the node is said to be that is said to be there: what is known of one that has just moved differs. No
// other node may answer: what it acknowledges would count for the one that is meant.
func (l layer) once(to string, timeout time.Duration) (nc net.Conn, err error) {
	places := []place{{-1, to}}
	if l.n.log.running.Load() {
		if all := l.places(to); len(all) > 0 {
			places = all
		}
	}
	for _, p := range places {
		if nc, err = l.DialNode(p.node, p.address, timeout); err == nil {
			return nc, nil
		}
	}
	return nil, err
}

// place is where a node is said to be.
type place struct {
	node    int32
	address string
}

// places are where the node is said to be that is said to be at an address, that first; none where no other node is.
func (l layer) places(address string) []place {
	n := l.n
	for _, s := range n.Servers() {
		if s.ID == n.cfg.NodeID {
			continue
		}
		places := []place{{s.ID, s.Address}}
		if n.cfg.AddressOf != nil {
			if now, ok := n.cfg.AddressOf(s.ID); ok && now != s.Address {
				places = append(places, place{s.ID, now})
			}
		}
		if i := slices.IndexFunc(places, func(p place) bool { return p.address == address }); i >= 0 {
			places[0], places[i] = places[i], places[0]
			return places
		}
	}
	return nil
}

// addresses knows better than the log where nodes are. It implements raft.ServerAddressProvider.
type addresses struct {
	of func(id int32) (string, bool)
}

// ServerAddr returns an error where the address in the log is the best there is.
func (a addresses) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if v, err := strconv.ParseInt(string(id), 10, 32); err == nil && a.of != nil {
		if address, ok := a.of(int32(v)); ok {
			return raft.ServerAddress(address), nil
		}
	}
	return "", errNotFound
}

// address is where this node is reached; a node without a port has a name in place of it, until an AddVoter replaces that.
func (n *Node) address() raft.ServerAddress {
	if n.cfg.Streams == nil {
		return placeholder(n.cfg.NodeID)
	}
	return raft.ServerAddress(n.cfg.Streams.Addr().String())
}

// found makes an empty directory what Config.Found says. The cluster's first batch follows when somebody leads.
func (n *Node) found(log *logStore, stable *stableStore, snaps raft.SnapshotStore) error {
	var servers []raft.Server
	switch n.cfg.Found {
	case Never:
		// A crash may have left a term or a vote before the first entry came. They bind.
		return nil
	case Together:
		for _, v := range n.cfg.Voters {
			servers = append(servers, raft.Server{Suffrage: raft.Voter, ID: serverID(v.ID), Address: raft.ServerAddress(v.Address)})
		}
	default:
		if n.cfg.ClusterID == "" {
			return ErrNoCluster
		}
		servers = []raft.Server{{Suffrage: raft.Voter, ID: serverID(n.cfg.NodeID), Address: n.address()}}
	}
	n.sole = len(servers) == 1
	if n.sole {
		// A crash may have left a term: without an entry in the log nobody was ever told of it.
		stable.forget()
		stable.electing.Store(true)
	} else if t, err := stable.GetUint64([]byte(keyCurrentTerm)); err == nil && t > 0 {
		return n.refound(log, t, servers)
	}
	n.bootstrap = true
	return raft.BootstrapCluster(n.raftConfig(), log, stable, snaps, n.transport, raft.Configuration{Servers: servers})
}

// state is what a directory holds, as far as it matters before Raft starts.
type state struct {
	empty    bool
	servers  []raft.Server
	lastTerm uint64
	clusters []string // the cluster ids that batches name
	features map[string]int16
}

// readState looks at the newest snapshot and every entry after it: what a newer program wrote, or what is damaged, is noticed before
// anything is changed.
func readState(log *logStore, snaps raft.SnapshotStore) (*state, error) {
	s := &state{features: map[string]int16{}}
	last, err := s.readSnapshot(snaps)
	if err != nil {
		return nil, tooNew(err)
	}
	first, _ := log.FirstIndex()
	end, _ := log.LastIndex()
	s.empty = last == 0 && end == 0
	if end > last && (first > last+1 || first == 0) {
		return nil, fmt.Errorf("the log begins at entry %d, but the snapshot ends at %d", first, last)
	}
	for i := last + 1; i <= end; i++ {
		var l raft.Log
		if err = log.GetLog(i, &l); err != nil {
			return nil, tooNew(fmt.Errorf("log: %w", err))
		}
		s.lastTerm = l.Term
		switch l.Type {
		case raft.LogConfiguration:
			if s.servers, err = decodeServers(l.Data); err != nil {
				return nil, fmt.Errorf("log: entry %d: %w", i, err)
			}
		case raft.LogCommand:
			if err := s.readBatch(l.Data); err != nil {
				return nil, tooNew(fmt.Errorf("log: entry %d: %w", i, err))
			}
		}
	}
	return s, log.clearCache()
}

// decodeServers reads a configuration entry. The library panics on bytes that are none.
func decodeServers(b []byte) (servers []raft.Server, err error) {
	defer func() {
		if recover() != nil {
			err = errCorrupt
		}
	}()
	return raft.DecodeConfiguration(b).Servers, nil
}

func (s *state) readSnapshot(snaps raft.SnapshotStore) (last uint64, err error) {
	list, err := snaps.List()
	if err != nil || len(list) == 0 {
		return 0, err
	}
	meta, r, err := snaps.Open(list[0].ID)
	if err != nil {
		return 0, fmt.Errorf("snapshot %s: %w", list[0].ID, err)
	}
	defer r.Close()
	_, _, err = walkSnapshot(r, func(b []byte, _ int64, _ int32) error { return s.readBatch(b) })
	if err != nil {
		return 0, fmt.Errorf("snapshot %s: %w", list[0].ID, err)
	}
	s.servers, s.lastTerm = meta.Configuration.Servers, meta.Term
	return meta.Index, nil
}

// readBatch looks at the types of a batch's records and decodes the few that say whose metadata this is.
func (s *state) readBatch(b []byte) error {
	return controller.CheckBatch(b, func(rec controller.Record) {
		switch rec := rec.(type) {
		case *controller.BootstrapRecord:
			s.clusters = append(s.clusters, rec.ClusterID)
		case *controller.FeatureLevelRecord:
			s.features[rec.Name] = rec.Level
		}
	})
}

// checkState refuses a directory that is not this node's, or of a newer program, and repairs a lost stable file where that is safe.
func (n *Node) checkState(s *state, stable *stableStore, exists bool) error {
	for _, id := range s.clusters {
		if n.cfg.ClusterID != "" && id != n.cfg.ClusterID {
			return fmt.Errorf("%w: it is of cluster %s, not %s", ErrForeign, id, n.cfg.ClusterID)
		}
	}
	for name, level := range s.features {
		if f, known := controller.SupportedFeature(name); level > 0 && (!known || level > f.Max || level < f.Min) {
			return fmt.Errorf("%w: feature %s is finalized at level %d, and this program serves %d to %d", ErrTooNew, name, level, f.Min, f.Max)
		}
	}
	me, vote, voters := false, false, 0
	for _, server := range s.servers {
		mine := server.ID == serverID(n.cfg.NodeID)
		me = me || mine
		if server.Suffrage == raft.Voter {
			voters++
			vote = vote || mine
		}
	}
	if voters == 1 && !me && n.cfg.Found == Alone {
		return fmt.Errorf("%w: it is of node %s, not %d", ErrForeign, s.servers[0].ID, n.cfg.NodeID)
	}
	n.sole = voters == 1 && vote
	if exists {
		return nil
	}
	if !n.sole {
		return errors.New("the file \"stable\" is lost: remove the directory and let the node join again")
	}
	// Its votes bind nobody but itself, and its term cannot be before the last entry's. Where the log has only the entry that founded the
	// cluster, it is a crash right after that.
	level := slog.LevelWarn
	if s.lastTerm <= 1 {
		level = slog.LevelDebug
	}
	n.cfg.Logger.Log(context.Background(), level, "metadata: the file \"stable\" was lost and is made again from the log", "dir", n.cfg.Dir, "term", s.lastTerm)
	return stable.SetUint64([]byte(keyCurrentTerm), s.lastTerm)
}

// tooNew marks an error that says that a newer program wrote the bytes.
func tooNew(err error) error {
	var unknown *controller.UnknownRecordError
	if errors.As(err, &unknown) || errors.Is(err, errNewerFormat) {
		return fmt.Errorf("%w: %w", ErrTooNew, err)
	}
	return err
}

// errNewerFormat is wrapped by errors that name a format version this program does not know.
var errNewerFormat = errors.New("written by a newer version of this program")

func newerFormat(version byte) error {
	return fmt.Errorf("format version %d: %w", version, errNewerFormat)
}
