package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// waiting is the pause of members between heartbeats in a rebalance. It is short, and after a member has left all the others
// heartbeat at once: what is timed is the broker and not how seldom its clients ask. For the same reason neither broker waits before a
// first rebalance (broker.go) or between two assignments, which by default is for a second.
const waiting = 20 * time.Millisecond

// groups is one group of 1,000 members that join at once, and then one leaves: until all have their partitions.
func (s *suite) groups() error {
	return s.beside(func(brokers []*broker) error {
		for _, protocol := range []string{"classic", "consumer"} {
			err := s.inTurns(brokers, "1,000 members, "+protocol, func(b *broker, run int) (result, error) {
				return s.joinAndLeave(b, protocol, run, s.count(1000))
			})
			if err != nil {
				return err
			}
		}
		return nil
	}, "group.consumer.assignment.interval.ms=0")
}

func (s *suite) joinAndLeave(b *broker, protocol string, run, n int) (result, error) {
	g, err := newGroup(b, fmt.Sprintf("%s-%d", protocol, run), n, waiting)
	if err != nil {
		return nil, err
	}
	members, closeAll, err := g.enter(protocol, n)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	r := result{}
	if r["all join ms"], err = newRebalance(n, n).run(members, time.Now()); err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := members[n-1].leave(); err != nil {
		return nil, err
	}
	if r["one leaves ms"], err = newRebalance(n-1, n).run(members[:n-1], begin); err != nil {
		return nil, err
	}
	for _, m := range members[:n-1] {
		if err := m.leave(); err != nil {
			return nil, err
		}
	}
	return r, deleteTopic(b, g.topic)
}

// deaths is a group of two of which one heartbeats, closes its connection and is not heard of again.
func (s *suite) deaths() error {
	return s.beside(func(brokers []*broker) error {
		for _, protocol := range []string{"classic", "consumer"} {
			err := s.inTurns(brokers, "a member dies, "+protocol, func(b *broker, run int) (result, error) {
				return dies(b, protocol, run)
			})
			if err != nil {
				return err
			}
		}
		return nil
	}, "group.consumer.min.session.timeout.ms=6000", "group.consumer.session.timeout.ms=6000",
		"group.consumer.min.heartbeat.interval.ms=1000", "group.consumer.heartbeat.interval.ms=2000")
}

func dies(b *broker, protocol string, run int) (result, error) {
	const partitions = 10
	g, err := newGroup(b, fmt.Sprintf("%s-%d", protocol, run), partitions, 2*time.Millisecond)
	if err != nil {
		return nil, err
	}
	g.session = 6000
	members, closeAll, err := g.enter(protocol, 2)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	if _, err := newRebalance(2, partitions).run(members, time.Now()); err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := errors.Join(members[1].beat(), members[1].close()); err != nil {
		return nil, err
	}
	ms, err := newRebalance(1, partitions).run(members[:1], begin)
	return result{"reassigned ms": ms}, err
}

// committer commits one offset of some partitions again and again for a group without members.
type committer struct {
	*wire
	request *kmsg.OffsetCommitRequest
}

func newCommitter(b *broker, topic string, partitions int) (*committer, error) {
	w, err := dial(b)
	if err != nil {
		return nil, err
	}
	q := kmsg.NewPtrOffsetCommitRequest()
	q.Generation = -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	for p := range partitions {
		one := kmsg.NewOffsetCommitRequestTopicPartition()
		one.Partition, one.LeaderEpoch = int32(p), -1
		t.Partitions = append(t.Partitions, one)
	}
	q.Topics = append(q.Topics, t)
	return &committer{w, q}, nil
}

func (c *committer) commit(group string, offset int64) error {
	c.request.Group = group
	partitions := c.request.Topics[0].Partitions
	for i := range partitions {
		partitions[i].Offset = offset
	}
	response, err := c.ask(c.request, 9)
	if err != nil {
		return err
	}
	for _, p := range response.(*kmsg.OffsetCommitResponse).Topics[0].Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			return fmt.Errorf("OffsetCommit: %w", err)
		}
	}
	return nil
}

// committers is how many clients commit at once.
const committers = 100

// byMany has 100 connections commit: each calls next, and commits for the group and the offset that it gives, until it gives no more.
func byMany(b *broker, topic string, partitions int, next func(client, i int) (group string, offset int64, more bool)) (commits int, err error) {
	var all sync.WaitGroup
	counts, failures := make([]int, committers), make([]error, committers)
	for client := range committers {
		c, err := newCommitter(b, topic, partitions)
		if err != nil {
			return 0, err
		}
		defer c.close()
		all.Go(func() {
			for {
				group, offset, more := next(client, counts[client])
				if !more {
					return
				}
				if failures[client] = c.commit(group, offset); failures[client] != nil {
					return
				}
				counts[client]++
			}
		})
	}
	all.Wait()
	for _, n := range counts {
		commits += n
	}
	return commits, errors.Join(failures...)
}

// commits is 100 clients that commit one partition each, as fast as it goes.
func (s *suite) commits() error {
	const topic = "committed"
	clients := names("client-%03d", committers)
	return s.beside(func(brokers []*broker) error {
		for _, b := range brokers {
			if err := prepareCommits(b, topic, 1, clients); err != nil {
				return err
			}
		}
		return s.inTurns(brokers, "commits of 100 clients", func(b *broker, _ int) (result, error) {
			m, err := s.measure(b)
			if err != nil {
				return nil, err
			}
			limit := m.start.Add(time.Duration(max(1, 10*s.scale) * float64(time.Second)))
			commits, err := byMany(b, topic, 1, func(client, i int) (string, int64, bool) {
				return clients[client], int64(i), time.Now().Before(limit)
			})
			if err != nil {
				return nil, err
			}
			seconds := time.Since(m.start).Seconds()
			cpu, err := b.cpu()
			return result{"commits/s": float64(commits) / seconds, "CPU us/commit": cpu.sub(m.cpu).total() / float64(commits) * 1e6}, err
		})
	})
}

func prepareCommits(b *broker, topic string, partitions int, groups []string) error {
	if err := createTopic(b, topic, partitions); err != nil {
		return err
	}
	if err := awaitReady(b, topic, partitions); err != nil {
		return err
	}
	w, err := dial(b)
	if err != nil {
		return err
	}
	defer w.close()
	return w.awaitCoordinator(groups...)
}

// manyGroups is 10,000 groups with 10 partitions each: their memory, and the start with them.
func (s *suite) manyGroups() error {
	const topic, partitions = "committed", 10
	groups := names("group-%05d", s.count(10_000))
	n := len(groups)
	return s.each(func(name string) error {
		b, err := s.started(name)
		if err != nil {
			return err
		}
		defer s.discard(b)
		if err := prepareCommits(b, topic, partitions, groups[:min(n, 500)]); err != nil {
			return err
		}
		commits, err := byMany(b, topic, partitions, func(client, i int) (string, int64, bool) {
			g := i*committers + client
			if g >= n {
				return "", 0, false
			}
			return groups[g], int64(g), true
		})
		if err != nil || commits != n {
			return fmt.Errorf("%d commits of %d: %w", commits, n, err)
		}
		r, err := fullThenKilled(b, "OffsetFetch", func() error { return awaitOffsets(b, topic, partitions, groups) })
		if err != nil {
			return err
		}
		s.add("10,000 groups", name, r)
		return nil
	})
}

func names(format string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return all
}

// awaitOffsets polls until one OffsetFetch of 50 of the groups, which are in most of the partitions of the internal topic, has all
// that they committed.
func awaitOffsets(b *broker, topic string, partitions int, groups []string) error {
	q := kmsg.NewPtrOffsetFetchRequest()
	want := map[string]int64{}
	for i := range 50 {
		g := i * len(groups) / 50
		one := kmsg.NewOffsetFetchRequestGroup()
		one.Group = groups[g]
		want[one.Group] = int64(g)
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic = topic
		for p := range partitions {
			t.Partitions = append(t.Partitions, int32(p))
		}
		one.Topics = append(one.Topics, t)
		q.Groups = append(q.Groups, one)
	}
	return poll(b, func(w *wire) (bool, error) {
		response, err := w.ask(q, 8)
		if err != nil {
			return false, nil // not up yet
		}
		for _, g := range response.(*kmsg.OffsetFetchResponse).Groups {
			switch err := kerr.ErrorForCode(g.ErrorCode); {
			case errors.Is(err, kerr.CoordinatorLoadInProgress), errors.Is(err, kerr.NotCoordinator), errors.Is(err, kerr.CoordinatorNotAvailable):
				return false, nil
			case err != nil:
				return false, err
			}
			for _, p := range g.Topics[0].Partitions {
				if p.ErrorCode != 0 || p.Offset != want[g.Group] {
					return false, fmt.Errorf("group %s has offset %d, error %d", g.Group, p.Offset, p.ErrorCode)
				}
			}
		}
		return true, nil
	})
}
