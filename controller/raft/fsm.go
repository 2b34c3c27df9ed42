package raft

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"weir/controller"
)

// machine merges committed batches into the image. It implements raft.FSM; Raft calls it on one goroutine. It never waits: what comes
// of a batch happens on the publisher's.
type machine struct {
	image   atomic.Pointer[controller.Image] // with everything applied; published a moment later
	publish func(publication)
	failed  func(error) // told when a committed batch cannot be merged
	broken  error
	bytes   atomic.Int64 // applied since the last snapshot
}

func newMachine(publish func(publication), failed func(error)) *machine {
	m := &machine{publish: publish, failed: failed}
	m.image.Store(controller.NewImage())
	return m
}

// Apply merges one batch. It returns an error, or nil; Raft hands that to who proposed it.
func (m *machine) Apply(l *raft.Log) any {
	if m.broken != nil {
		return m.broken
	}
	term, records, err := controller.DecodeBatch(l.Data)
	if err != nil {
		return m.fail(l.Index, err)
	}
	if term != l.Term {
		// Decided by a leader that was not the leader any more. All nodes leave it out.
		return raft.ErrLeadershipLost
	}
	old := m.image.Load()
	img, delta, err := controller.Merge(old, records, int64(l.Index), int32(l.Term))
	if err != nil {
		return m.fail(l.Index, err)
	}
	m.bytes.Add(int64(len(l.Data)))
	m.image.Store(img)
	m.publish(publication{old, img, delta})
	return nil
}

func (m *machine) fail(index uint64, err error) error {
	m.broken = fmt.Errorf("metadata at offset %d: %w", index, err)
	m.failed(m.broken)
	return m.broken
}

// Snapshot returns at once: the image does not change.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.bytes.Store(0)
	return imageSnapshot{m.image.Load()}, nil
}

// Restore replaces the image by a snapshot, at start or because this node was too far behind.
func (m *machine) Restore(r io.ReadCloser) error {
	defer r.Close()
	img, err := readSnapshot(r)
	if err != nil {
		return err
	}
	old := m.image.Load()
	m.image.Store(img)
	m.publish(publication{old, img, controller.Diff(old, img)})
	return nil
}
