package differential

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// noKey is the key of what is no answer.
const noKey = -1

const offsetsTopic = "__consumer_offsets"

// written keeps what a group's records in __consumer_offsets say in the end: of each key the newest value, as far as two brokers can
// agree on it. Ids are named by their topics; times and hashes are cut off.
func (s *session) written(what, group string) {
	s.t.Helper()
	var hash int32
	for _, c := range []byte(group) { // ASCII
		hash = 31*hash + int32(c)
	}
	newest := map[string]string{}
	for _, r := range s.log(max(hash, -hash) % 50) {
		if !bytes.Contains(r.Key, []byte(group)) {
			continue
		}
		key := fmt.Sprintf("%d %x", binary.BigEndian.Uint16(r.Key), r.Key[2:])
		newest[key] = s.value(binary.BigEndian.Uint16(r.Key), r.Value)
	}
	for i, key := range slices.Sorted(maps.Keys(newest)) {
		s.answers = append(s.answers, answer{what: fmt.Sprintf("%s, %d", what, i), key: noKey, err: errors.New(key + " = " + newest[key])})
	}
}

// value is the comparable part of a value.
func (s *session) value(kind uint16, v []byte) string {
	if v == nil {
		return "tombstone"
	}
	switch kind {
	case 1: // the version, the offset and the leader epoch; times come behind the metadata
		return fmt.Sprintf("%x, %d bytes", v[:min(len(v), 14)], len(v))
	case 2: // times and random member ids are everywhere
		return fmt.Sprintf("%d bytes", len(v))
	case 3, 6: // a hash or a time, and tags
		v = v[:max(0, len(v)-9)]
	case 16: // a version and a time, and tags
		v = v[:max(0, len(v)-17)]
	}
	text := fmt.Sprintf("%x", v)
	for name, id := range s.ids {
		text = strings.ReplaceAll(text, fmt.Sprintf("%x", id), "<"+name+">")
	}
	return text
}

// log reads a partition of __consumer_offsets.
func (s *session) log(partition int32) (records []*kgo.Record) {
	s.t.Helper()
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, -1
	request.Topics = append(request.Topics, kmsg.ListOffsetsRequestTopic{Topic: offsetsTopic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}})
	end := s.quiet(7, request).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].Offset
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{offsetsTopic: {partition: kgo.NewOffset().AtStart()}}))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for len(records) == 0 || records[len(records)-1].Offset < end-1 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			s.t.Fatalf("%s: %v", s.name, err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}
