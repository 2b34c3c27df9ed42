package proxy

import (
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A request that concerns several brokers is split by the elements of one of its lists, and the answers are put together again. Kafka
// has the same names for the same things in all messages, so this goes by names; a test looks at every key that is split.

// splitList makes a request for each target of the elements of a list. The order within each is kept.
func splitList(req kmsg.Request, list string, target func(element reflect.Value) int32) map[int32]kmsg.Request {
	from := reflect.ValueOf(req).Elem()
	parts := map[int32]reflect.Value{}
	all := from.FieldByName(list)
	for i := range all.Len() {
		to := target(all.Index(i))
		f := partOf(parts, to, from, list).FieldByName(list)
		f.Set(reflect.Append(f, all.Index(i)))
	}
	return requests(parts)
}

// splitPartitions makes a request for each target of the partitions in the list Topics.
func splitPartitions(req kmsg.Request, target func(topic string, id [16]byte, partition int32) int32) map[int32]kmsg.Request {
	from := reflect.ValueOf(req).Elem()
	parts := map[int32]reflect.Value{}
	topics := from.FieldByName("Topics")
	for i := range topics.Len() {
		t := topics.Index(i)
		name, id := topicOf(t)
		partitions := t.FieldByName("Partitions")
		last := map[int32]bool{} // targets that have this topic
		for j := range partitions.Len() {
			p := partitions.Index(j)
			to := target(name, id, partitionOf(p))
			f := partOf(parts, to, from, "Topics").FieldByName("Topics")
			if !last[to] {
				last[to] = true
				one := reflect.New(t.Type()).Elem()
				one.Set(t)
				one.FieldByName("Partitions").SetZero()
				f.Set(reflect.Append(f, one))
			}
			of := f.Index(f.Len() - 1).FieldByName("Partitions")
			of.Set(reflect.Append(of, p))
		}
	}
	return requests(parts)
}

// partOf is the request for a target, without its list where it is new.
func partOf(parts map[int32]reflect.Value, to int32, from reflect.Value, list string) reflect.Value {
	v, ok := parts[to]
	if !ok {
		v = reflect.New(from.Type())
		v.Elem().Set(from)
		v.Elem().FieldByName(list).SetZero()
		parts[to] = v
	}
	return v.Elem()
}

func requests(parts map[int32]reflect.Value) map[int32]kmsg.Request {
	out := make(map[int32]kmsg.Request, len(parts))
	for to, v := range parts {
		out[to] = v.Interface().(kmsg.Request)
	}
	return out
}

func topicOf(t reflect.Value) (name string, id [16]byte) {
	if f := t.FieldByName("Topic"); f.IsValid() && f.Kind() == reflect.String {
		name = f.String()
	}
	if f := t.FieldByName("TopicID"); f.IsValid() {
		id = f.Interface().([16]byte)
	}
	return name, id
}

func partitionOf(p reflect.Value) int32 {
	if p.Kind() == reflect.Struct {
		p = p.FieldByName("Partition")
	}
	return int32(p.Int())
}

// merge puts the lists of answers together into the first, the partitions of one topic in one element. The first error of the whole, the
// longest throttling and everything else of the first answer stand.
func merge(all []kmsg.Response) kmsg.Response {
	first := all[0]
	if len(all) == 1 {
		return first
	}
	to := reflect.ValueOf(first).Elem()
	topics := map[any]int{}
	for _, r := range all[1:] {
		from := reflect.ValueOf(r).Elem()
		for i := range from.NumField() {
			f, g := to.Field(i), from.Field(i)
			switch name := from.Type().Field(i).Name; {
			case name == "ThrottleMillis":
				f.SetInt(max(f.Int(), g.Int()))
			case name == "ErrorCode":
				if f.Int() == 0 {
					f.Set(g)
				}
			case g.Kind() != reflect.Slice:
			case name == "Topics" && hasPartitions(g.Type().Elem()):
				mergeTopics(f, g, topics)
			default:
				f.Set(reflect.AppendSlice(f, g))
			}
		}
	}
	return first
}

func hasPartitions(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	_, ok := t.FieldByName("Partitions")
	return ok
}

// mergeTopics adds topics to a list. at is where each of the list is, made at the first call.
func mergeTopics(to, from reflect.Value, at map[any]int) {
	key := func(t reflect.Value) any {
		name, id := topicOf(t)
		return [2]any{name, id}
	}
	if len(at) == 0 {
		for i := range to.Len() {
			at[key(to.Index(i))] = i
		}
	}
	for i := range from.Len() {
		t := from.Index(i)
		if j, ok := at[key(t)]; ok {
			f := to.Index(j).FieldByName("Partitions")
			f.Set(reflect.AppendSlice(f, t.FieldByName("Partitions")))
			continue
		}
		at[key(t)] = to.Len()
		to.Set(reflect.Append(to, t))
	}
}
