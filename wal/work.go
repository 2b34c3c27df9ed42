package wal

import "sync"

// workQueue runs background work of a directory on a few goroutines, which end when there is none.
type workQueue struct {
	max int

	mu      sync.Mutex
	idle    sync.Cond
	queue   []func()
	running int
}

// add queues f. It never blocks.
func (w *workQueue) add(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, f)
	if w.running < w.max {
		w.running++
		go w.run()
	}
}

func (w *workQueue) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) > 0 {
		f := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		w.mu.Unlock()
		f()
		w.mu.Lock()
	}
	w.running--
	if w.running == 0 {
		w.queue = nil
		if w.idle.L != nil {
			w.idle.Broadcast()
		}
	}
}

// wait returns when nothing is queued or running.
func (w *workQueue) wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle.L = &w.mu
	for w.running > 0 {
		w.idle.Wait()
	}
}
