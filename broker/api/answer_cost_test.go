package api

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// noRoom has room for so many bytes.
type noRoom int

var errNoRoom = errors.New("no room")

func (r noRoom) Reserve(bytes int) error {
	if bytes > int(r) {
		return errNoRoom
	}
	return nil
}

// TestReassignmentsReserve: room is taken for the partitions that are asked for, all of them where none is named.
func TestReassignmentsReserve(t *testing.T) {
	w := newWorld(t)
	w.topic("t", []int32{1}, []int32{1}, []int32{1})
	named := func(n int) []kmsg.ListPartitionReassignmentsRequestTopic {
		return []kmsg.ListPartitionReassignmentsRequestTopic{{Topic: "t", Partitions: make([]int32, n)}}
	}
	for _, x := range []struct {
		topics []kmsg.ListPartitionReassignmentsRequestTopic
		room   int
		want   error
	}{
		{nil, 3 * partitionCost, nil},
		{nil, 3*partitionCost - 1, errNoRoom},
		{named(1), 2 * partitionCost, nil},
		{named(9), 10*partitionCost - 1, errNoRoom},
	} {
		q := kmsg.NewPtrListPartitionReassignmentsRequest()
		q.Topics = x.topics
		if _, err := listPartitionReassignments(w.s, &Call{Session: w.who, Room: noRoom(x.room)}, q); !errors.Is(err, x.want) {
			t.Errorf("%d topics, room for %d: %v, want %v", len(x.topics), x.room, err, x.want)
		}
	}
}
