package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"time"
)

// suite is one run of everything: what is measured, how large, and what came out.
type suite struct {
	names []string // of the brokers, in the order in which they take turns
	runs  int
	scale float64 // of sizes, counts and times; 1 is the real thing
	only  *regexp.Regexp
	dir   string // for data

	works map[string]map[string][]result // of the phase that runs
}

// phase is a part of a run, with brokers of its own.
type phase struct {
	name string
	run  func(*suite) error
}

// phases are in the order in which they run.
var phases = []phase{
	{"throughput", (*suite).throughput},
	{"latency", (*suite).latencies},
	{"start", (*suite).startEmpty},
	{"memory", (*suite).memory},
	{"partitions", (*suite).manyPartitions},
	{"data", (*suite).startWithData},
	{"groups", (*suite).groups},
	{"death", (*suite).deaths},
	{"commits", (*suite).commits},
	{"manygroups", (*suite).manyGroups},
	{"transactions", (*suite).transactions},
	{"txnoverhead", (*suite).overhead},
	{"txnids", (*suite).transactionalIDs},
}

func (s *suite) run() error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	kept := s.scale == 1 && s.runs >= keptRuns && slices.Equal(s.names, []string{"kafka", "weir"})
	var all []outcome
	for _, p := range phases {
		if !s.only.MatchString(p.name) {
			continue
		}
		o, err := s.phase(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if !kept {
			all = append(all, o)
			continue
		}
		if err := o.keep(resultsFolder); err != nil {
			return err
		}
		if err := writePage(); err != nil {
			return err
		}
	}
	if !kept {
		_, err := os.Stdout.Write(page(all, nil))
		return err
	}
	return nil
}

// phase runs one.
func (s *suite) phase(p phase) (outcome, error) {
	began := time.Now()
	s.works = map[string]map[string][]result{}
	err := p.run(s)
	return outcome{
		Phase: p.name, Commit: commit(), Kafka: kafkaVersion, Date: began.Format(time.DateOnly), Minutes: time.Since(began).Minutes(),
		Machine: machine(), Scale: s.scale, Works: s.works,
	}, err
}

// add keeps a result and shows it.
func (s *suite) add(work, broker string, r result) {
	if s.works[work] == nil {
		s.works[work] = map[string][]result{}
	}
	s.works[work][broker] = append(s.works[work][broker], r)
	fmt.Fprintf(os.Stderr, "%s %-28s %-6s", time.Now().Format("15:04:05"), work, broker)
	for _, name := range sortedNames(r) {
		fmt.Fprintf(os.Stderr, "  %s %s", name, number(r[name]))
	}
	fmt.Fprintln(os.Stderr)
}

func (s *suite) bytes(n int64) int64 { return int64(float64(n) * s.scale) }
func (s *suite) count(n int) int     { return max(1, int(float64(n)*s.scale)) }

// started makes a broker that runs with empty data.
func (s *suite) started(name string, set ...string) (*broker, error) {
	b, err := newBroker(name, s.dir, set...)
	if err != nil {
		return nil, err
	}
	if err := b.start(); err != nil {
		return nil, err
	}
	return b, awaitReady(b, "", 0)
}

// discard removes a broker; what stays behind is said and does not end the run.
func (s *suite) discard(b *broker) {
	if err := b.remove(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}

// together starts all brokers, warms each up, and hands them over; they are removed afterwards.
func (s *suite) together(work func([]*broker) error) error {
	return s.beside(func(brokers []*broker) error {
		for _, b := range brokers { // a JVM compiles what it runs often; the first run is worth nothing
			for range 2 {
				if _, _, err := s.through(b, "warm-up", s.bytes(gib), 1024); err != nil {
					return err
				}
			}
		}
		return work(brokers)
	})
}

// beside starts all brokers and hands them over; they are removed afterwards.
func (s *suite) beside(work func([]*broker) error, set ...string) error {
	var brokers []*broker
	for _, name := range s.names {
		b, err := s.started(name, set...)
		if err != nil {
			return err
		}
		defer s.discard(b)
		brokers = append(brokers, b)
	}
	return work(brokers)
}

// inTurns gives every broker its turn, so many times and once more before, which does not count.
func (s *suite) inTurns(brokers []*broker, work string, turn func(b *broker, run int) (result, error)) error {
	for run := range s.runs + 1 {
		for _, b := range brokers {
			r, err := turn(b, run)
			if err != nil {
				return fmt.Errorf("%s: %w", b.name, err)
			}
			if run > 0 {
				s.add(work, b.name, r)
			}
		}
	}
	return nil
}

// through writes a topic of six partitions, reads it and deletes it.
func (s *suite) through(b *broker, topic string, bytes int64, size int) (produced, consumed result, err error) {
	if err := createTopic(b, topic, 6); err != nil {
		return nil, nil, err
	}
	if err := awaitReady(b, topic, 6); err != nil {
		return nil, nil, err
	}
	if produced, err = s.produce(b, topic, bytes, size); err != nil {
		return nil, nil, err
	}
	if consumed, err = s.consume(b, topic, bytes, size); err != nil {
		return nil, nil, err
	}
	return produced, consumed, deleteTopic(b, topic)
}

// throughput is as fast as it goes.
func (s *suite) throughput() error {
	return s.together(func(brokers []*broker) error {
		for _, w := range []struct {
			size  int
			bytes int64
			name  string
		}{{1024, 2 * gib, "1 KiB"}, {100, gib / 2, "100 B"}} {
			for run := range s.runs + 1 {
				for _, b := range brokers {
					produced, consumed, err := s.through(b, fmt.Sprintf("load-%d-%d", w.size, run), s.bytes(w.bytes), w.size)
					if err != nil {
						return err
					}
					if run == 0 { // one more of this size that does not count
						continue
					}
					s.add("produce "+w.name, b.name, produced)
					s.add("consume "+w.name, b.name, consumed)
				}
			}
		}
		return nil
	})
}

// latencies is at an even, moderate rate.
func (s *suite) latencies() error {
	return s.together(func(brokers []*broker) error {
		for _, w := range []struct {
			rate, size, partitions int
			name                   string
		}{{1000, 100, 1, "1,000/s of 100 B"}, {5000, 1024, 6, "5,000/s of 1 KiB"}} {
			for run := range s.runs + 1 {
				for _, b := range brokers {
					topic := fmt.Sprintf("even-%d-%d", w.rate, run)
					if err := createTopic(b, topic, w.partitions); err != nil {
						return err
					}
					if err := awaitReady(b, topic, w.partitions); err != nil {
						return err
					}
					r, err := s.latency(b, topic, w.rate, w.size, max(1, 10*s.scale))
					if err != nil {
						return err
					}
					if err := deleteTopic(b, topic); err != nil {
						return err
					}
					if run > 0 {
						s.add(w.name, b.name, r)
					}
				}
			}
		}
		return nil
	})
}
