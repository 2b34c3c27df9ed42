package api

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// allocates makes the world's controller give out blocks of n producer ids.
func (w *world) allocates(n int32) {
	var mu sync.Mutex
	next := int64(0)
	w.answer = func(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
		q := req.(*kmsg.AllocateProducerIDsRequest)
		if q.BrokerID != 1 || q.BrokerEpoch != w.s.Image().Broker(1).Epoch {
			return nil, fmt.Errorf("broker %d epoch %d", q.BrokerID, q.BrokerEpoch)
		}
		mu.Lock()
		defer mu.Unlock()
		resp := q.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
		resp.ProducerIDStart, resp.ProducerIDLen = next, n
		next += int64(n)
		return resp, nil
	}
}

func TestInitProducerID(t *testing.T) {
	word, empty := "t", ""
	versions(t, 22, func(t *testing.T, v int16) {
		for _, c := range []struct {
			name      string
			txn       *string
			timeoutMs int32
			id        int64
			epoch     int16
			want      protocol.Code
			since     int16
		}{
			{"new", nil, 1000, -1, -1, protocol.None, 0},
			{"any time-out", nil, -5, -1, -1, protocol.None, 0},
			{"goes on", nil, 0, 5, 5, protocol.None, 0},
			{"id alone", nil, 0, 5, -1, protocol.InvalidRequest, 3},
			{"epoch alone", nil, 0, -1, 5, protocol.InvalidRequest, 3},
			{"empty transactional id", &empty, 1000, -1, -1, protocol.InvalidRequest, 0},
			{"transactional id", &word, 1000, -1, -1, protocol.CoordinatorLoadInProgress, 0},
			{"no time", &word, 0, -1, -1, protocol.InvalidTransactionTimeout, 0},
			{"too much time", &word, 900_001, -1, -1, protocol.InvalidTransactionTimeout, 0},
		} {
			w := newWorld(t)
			w.allocates(1000)
			txnsOf(w).answer = func(int) (any, error) { return nil, coordinator.ErrLoading }
			q := kmsg.NewPtrInitProducerIDRequest()
			q.TransactionalID, q.TransactionTimeoutMillis, q.ProducerID, q.ProducerEpoch = c.txn, c.timeoutMs, c.id, c.epoch
			r := call[*kmsg.InitProducerIDResponse](w, v, q)
			want := c.want
			if v < c.since {
				want = protocol.None
			}
			code(t, r.ErrorCode, want, c.name)
			if want == protocol.None && (r.ProducerID != 0 || r.ProducerEpoch != 0) || want != protocol.None && (r.ProducerID != -1 || r.ProducerEpoch != -1) {
				t.Errorf("%s: id %d, epoch %d", c.name, r.ProducerID, r.ProducerEpoch)
			}
			w.auth.deny(IdempotentWrite, ClusterResource, ClusterName)
			w.auth.deny(Write, TransactionalIDResource, word)
			denied := protocol.ClusterAuthorizationFailed
			if c.txn == &word {
				denied = protocol.TransactionalIDAuthorizationFailed
			}
			if c.txn != &empty {
				code(t, call[*kmsg.InitProducerIDResponse](w, v, q).ErrorCode, denied, c.name+" denied")
			}
		}
	})
}

// TestInitProducerIDBlocks: ids go up without a gap over the ends of blocks, none twice, however many ask.
func TestInitProducerIDBlocks(t *testing.T) {
	w := newWorld(t)
	w.allocates(20)
	const workers, each = 8, 50
	got := make([]bool, workers*each+40)
	var mu sync.Mutex
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range each {
				r := call[*kmsg.InitProducerIDResponse](w, 5, kmsg.NewPtrInitProducerIDRequest())
				mu.Lock()
				if r.ErrorCode != 0 || got[r.ProducerID] {
					t.Errorf("%+v", r)
				}
				got[r.ProducerID] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for id := range workers * each {
		if !got[id] {
			t.Errorf("id %d was never given out", id)
		}
	}
}

// TestInitProducerIDAhead: the next block is fetched before the one in use is empty.
func TestInitProducerIDAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.allocates(20)
		for i := range 18 {
			if r := call[*kmsg.InitProducerIDResponse](w, 5, kmsg.NewPtrInitProducerIDRequest()); r.ProducerID != int64(i) {
				t.Fatalf("id %d, want %d", r.ProducerID, i)
			}
			synctest.Wait()
			if len(w.requests()) != 1 {
				t.Fatalf("%d requests after %d ids", len(w.requests()), i+1)
			}
		}
		call[*kmsg.InitProducerIDResponse](w, 5, kmsg.NewPtrInitProducerIDRequest())
		synctest.Wait()
		if len(w.requests()) != 2 {
			t.Errorf("%d requests", len(w.requests()))
		}
	})
}

func TestInitProducerIDWithoutController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		code(t, call[*kmsg.InitProducerIDResponse](w, 5, kmsg.NewPtrInitProducerIDRequest()).ErrorCode, protocol.CoordinatorLoadInProgress, "no controller")
		w.allocates(1000)
		allocate := w.answer
		w.answer = func(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
			time.Sleep(8 * time.Second)
			return allocate(ctx, req)
		}
		start := time.Now()
		code(t, call[*kmsg.InitProducerIDResponse](w, 5, kmsg.NewPtrInitProducerIDRequest()).ErrorCode, protocol.CoordinatorLoadInProgress, "slow controller")
		if took := time.Since(start); took != producerIDWait {
			t.Errorf("answered after %v", took)
		}
		code(t, call[*kmsg.InitProducerIDResponse](w, 5, kmsg.NewPtrInitProducerIDRequest()).ErrorCode, protocol.None, "at last")
		if len(w.requests()) != 2 {
			t.Errorf("%d requests", len(w.requests()))
		}
	})
}
