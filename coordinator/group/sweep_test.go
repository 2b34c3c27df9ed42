package group

import (
	"fmt"
	"testing"

	"weir/coordinator"
)

// TestSweepsAreCutUp holds that forgetting many offsets, of one group or of many, is several operations: the records of one are one batch,
// which the log takes only up to max.message.bytes.
func TestSweepsAreCutUp(t *testing.T) {
	for _, how := range []string{"expire", "delete"} {
		for _, shape := range []struct{ groups, partitions int }{{1, 30_000}, {3_000, 10}} {
			cfg := testConfig()
			cfg.OffsetsRetentionCheckMs = 24 * 3600 * 1000
			h := newHarness(t, cfg)
			h.every = 0
			for g := range shape.groups {
				id := fmt.Sprintf("group-%d", g)
				h.do(func(m *Machine) coordinator.Effects {
					return m.OffsetCommit(h.now, 1, commitRequest(id, "", -1, shape.partitions))
				})
			}
			steps, removed := 0, 0
			look := func() {
				size := 0
				for _, r := range h.written {
					size += len(r.Key) + len(r.Value)
				}
				if size > maxSweep+1000 {
					t.Errorf("%s %v: an operation wrote %d bytes", how, shape, size)
				}
				if size > 0 {
					steps++
				}
				removed += len(h.written)
			}
			if how == "delete" {
				h.do(func(m *Machine) coordinator.Effects { return m.DeleteTopicOffsets(h.now, []DeletedTopic{{Name: "t"}}) })
				look()
				h.advance(1, func(coordinator.TimerKey) { look() })
			} else {
				h.advance(8*24*3600*1000, func(coordinator.TimerKey) { look() })
			}
			if left := len(h.m.pending) + len(h.m.names); left > 0 || steps < 3 || removed < 30_000 {
				t.Errorf("%s %v: %d operations removed %d offsets, %d topics are left", how, shape, steps, removed, left)
			}
		}
	}
}
