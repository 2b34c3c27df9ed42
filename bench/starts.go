package main

import (
	"fmt"
	"time"
)

// settle is how long a broker is left alone before its memory or files are counted: what the last requests took (garbage, buffers,
// files to close) goes a moment after their answers, in Kafka too.
const settle = 2 * time.Second

// timedStart starts b and returns the milliseconds until it answers for so many partitions of a topic.
func timedStart(b *broker, topic string, partitions int) (float64, error) {
	begin := time.Now()
	if err := b.start(); err != nil {
		return 0, err
	}
	err := awaitReady(b, topic, partitions)
	return milliseconds(time.Since(begin)), err
}

// fullThenKilled is the memory of a broker that is full, and how long after kill -9 it answers what await asks.
func fullThenKilled(b *broker, answer string, await func() error) (result, error) {
	time.Sleep(settle)
	memory, err := b.rss()
	if err != nil {
		return nil, err
	}
	if err := b.stop(false); err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := b.start(); err != nil {
		return nil, err
	}
	err = await()
	return result{"RSS MiB": memory, "first " + answer + " after kill -9 ms": milliseconds(time.Since(begin))}, err
}

// each gives every broker its turn, so many times.
func (s *suite) each(turn func(name string) error) error {
	for range s.runs {
		for _, name := range s.names {
			if err := turn(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// startEmpty is from the start of the process to the first answer, with nothing in the folder, and the memory when it has settled.
func (s *suite) startEmpty() error {
	return s.each(func(name string) error {
		b, err := newBroker(name, s.dir)
		if err != nil {
			return err
		}
		defer s.discard(b)
		ms, err := timedStart(b, "", 0)
		if err != nil {
			return err
		}
		time.Sleep(settle)
		memory, err := b.rss()
		s.add("start, empty", name, result{"ms": ms, "RSS MiB": memory})
		return err
	})
}

// memory is with 1,000 partitions, before and after 4 GiB went through them.
func (s *suite) memory() error {
	return s.each(func(name string) error {
		b, err := s.started(name)
		if err != nil {
			return err
		}
		defer s.discard(b)
		partitions := s.count(1000)
		if err := createTopic(b, "many", partitions); err != nil {
			return err
		}
		if err := awaitReady(b, "many", partitions); err != nil {
			return err
		}
		time.Sleep(settle)
		before, err := b.rss()
		if err != nil {
			return err
		}
		if _, err := s.produce(b, "many", s.bytes(4*gib), 1024); err != nil {
			return err
		}
		after, err := b.rss()
		s.add("1,000 partitions", name, result{"RSS MiB": before, "RSS after 4 GiB MiB": after})
		return err
	})
}

// manyPartitions creates 1,000 and 9,000 more, and starts with them.
func (s *suite) manyPartitions() error {
	few, more := s.count(1000), s.count(9000)
	return s.each(func(name string) error {
		b, err := s.started(name)
		if err != nil {
			return err
		}
		defer s.discard(b)
		r := result{}
		for _, topic := range []struct {
			name, figure string
			partitions   int
		}{{"few", "1,000 created ms", few}, {"more", "9,000 more ms", more}} {
			begin := time.Now()
			if err := createTopic(b, topic.name, topic.partitions); err != nil {
				return err
			}
			if err := awaitReady(b, topic.name, topic.partitions); err != nil {
				return err
			}
			r[topic.figure] = milliseconds(time.Since(begin))
		}
		time.Sleep(settle)
		if r["open files"], err = b.files(); err != nil {
			return err
		}
		for _, clean := range []bool{true, false} {
			if err := b.stop(clean); err != nil {
				return err
			}
			if r[startFigure(clean)], err = timedStart(b, "more", more); err != nil {
				return err
			}
		}
		s.add("10,000 partitions", name, r)
		return nil
	})
}

func startFigure(clean bool) string {
	if clean {
		return "start, clean ms"
	}
	return "start after kill -9 ms"
}

// startWithData is after 10 GiB were written, first killed and then stopped.
func (s *suite) startWithData() error {
	return s.each(func(name string) error {
		b, err := s.started(name)
		if err != nil {
			return err
		}
		defer s.discard(b)
		if err := createTopic(b, "data", 6); err != nil {
			return err
		}
		if err := awaitReady(b, "data", 6); err != nil {
			return err
		}
		if _, err := s.produce(b, "data", s.bytes(10*gib), 1024); err != nil {
			return err
		}
		r := result{}
		for _, clean := range []bool{false, true} {
			if err := b.stop(clean); err != nil {
				return err
			}
			if r[startFigure(clean)], err = timedStart(b, "data", 6); err != nil {
				return err
			}
		}
		if sum, err := endsSum(b, "data", 6); err != nil || sum < s.bytes(10*gib)/1024 {
			return fmt.Errorf("%d records of %d are left: %w", sum, s.bytes(10*gib)/1024, err)
		}
		s.add("10 GiB", name, r)
		return nil
	})
}
