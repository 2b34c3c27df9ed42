package differential

import (
	"encoding/binary"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// rendering is an answer as paths and values, such as Metadata.Topics[orders].Partitions[2].Leader = 1.
type rendering map[string]string

// names of the field that says which element of a list is which. Lists of other elements are compared in their order.
var elementNames = map[string]string{
	"ApiVersions.ApiKeys":                                                   "ApiKey",
	"ApiVersions.SupportedFeatures":                                         "Name",
	"ApiVersions.FinalizedFeatures":                                         "Name",
	"Metadata.Topics":                                                       "Topic",
	"Metadata.Topics.Partitions":                                            "Partition",
	"DescribeTopicPartitions.Topics.Partitions":                             "Partition",
	"CreateTopics.Topics":                                                   "Topic",
	"CreateTopics.Topics.Configs":                                           "Name",
	"CreatePartitions.Topics":                                               "Topic",
	"DeleteTopics.Topics":                                                   "Topic",
	"DeleteRecords.Topics":                                                  "Topic",
	"DeleteRecords.Topics.Partitions":                                       "Partition",
	"DescribeConfigs.Resources":                                             "ResourceName",
	"DescribeConfigs.Resources.Configs":                                     "Name",
	"AlterConfigs.Resources":                                                "ResourceName",
	"IncrementalAlterConfigs.Resources":                                     "ResourceName",
	"DescribeLogDirs.Dirs.Topics":                                           "Topic",
	"DescribeLogDirs.Dirs.Topics.Partitions":                                "Partition",
	"Produce.Topics":                                                        "Topic",
	"Produce.Topics.Partitions":                                             "Partition",
	"Fetch.Topics":                                                          "Topic",
	"Fetch.Topics.Partitions":                                               "Partition",
	"ListOffsets.Topics":                                                    "Topic",
	"ListOffsets.Topics.Partitions":                                         "Partition",
	"OffsetForLeaderEpoch.Topics":                                           "Topic",
	"OffsetForLeaderEpoch.Topics.Partitions":                                "Partition",
	"DescribeTopicPartitions.Topics.OfflineReplicas":                        "",
	"AddPartitionsToTxn.Topics":                                             "Topic",
	"AddPartitionsToTxn.Topics.Partitions":                                  "Partition",
	"AddPartitionsToTxn.Transactions.Topics":                                "Topic",
	"AddPartitionsToTxn.Transactions.Topics.Partitions":                     "Partition",
	"DescribeTransactions.TransactionStates.Topics":                         "Topic",
	"DescribeGroups.Groups":                                                 "Group",
	"ConsumerGroupDescribe.Groups":                                          "Group",
	"DeleteGroups.Groups":                                                   "Group",
	"DescribeGroups.Groups.Members":                                         "MemberAssignment", // their ids are random, and so is Kafka's order
	"ListGroups.Groups":                                                     "Group",
	"ListConfigResources.ConfigResources":                                   "Name",
	"ConsumerGroupDescribe.Groups.Members":                                  "MemberID",
	"ConsumerGroupDescribe.Groups.Members.Assignment.TopicPartitions":       "Topic",
	"ConsumerGroupDescribe.Groups.Members.TargetAssignment.TopicPartitions": "Topic",
}

// render turns an answer into paths and values. The run's prefix is taken out of names.
func render(a answer, prefix string, ids map[string][16]byte) rendering {
	r := renderer{out: rendering{}, prefix: prefix, ids: map[[16]byte]string{}}
	for name, id := range ids {
		r.ids[id] = name
	}
	switch {
	case a.err != nil:
		r.out["answer"] = a.err.Error()
	case a.body == nil:
		r.out["answer"] = "none, as there should be"
	default:
		name := kmsg.NameForKey(a.key)
		r.out["answer"] = fmt.Sprintf("%s v%d", name, a.body.GetVersion())
		r.value(name, name, reflect.ValueOf(a.body).Elem())
	}
	return r.out
}

type renderer struct {
	out    rendering
	prefix string
	ids    map[[16]byte]string
}

// value writes v under path; plain is the path without list indexes.
func (r *renderer) value(path, plain string, v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[kmsg.Tags]():
	case v.Type() == reflect.TypeFor[[16]byte]():
		r.out[path] = r.id(v.Interface().([16]byte))
	case strings.HasSuffix(plain, ".RecordBatches"):
		r.batches(path, v.Bytes(), v.IsNil())
	case v.Kind() == reflect.Pointer && v.IsNil():
		r.out[path] = "null"
	case v.Kind() == reflect.Pointer:
		r.value(path, plain, v.Elem())
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Version" {
				r.value(path+"."+name, plain+"."+name, v.Field(i))
			}
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		r.out[path] = fmt.Sprintf("%x", v.Bytes())
	case v.Kind() == reflect.Slice:
		r.list(path, plain, v)
	default:
		r.out[path] = strings.ReplaceAll(fmt.Sprint(v.Interface()), r.prefix, "~")
	}
}

func (r *renderer) list(path, plain string, v reflect.Value) {
	if v.IsNil() {
		r.out[path] = "null"
		return
	}
	r.out[path] = fmt.Sprintf("%d elements", v.Len())
	seen := map[string]int{}
	for i := range v.Len() {
		label := fmt.Sprint(i)
		if field := elementNames[plain]; field != "" {
			label = r.label(v.Index(i), field)
			if seen[label]++; seen[label] > 1 {
				label = fmt.Sprintf("%s, again %d", label, seen[label]-1)
			}
		}
		element := path + "[" + label + "]"
		if v.Index(i).Kind() == reflect.Struct {
			r.out[element] = "there"
		}
		r.value(element, plain, v.Index(i))
	}
}

func (r *renderer) label(element reflect.Value, field string) string {
	v := element.FieldByName(field)
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return r.topicOf(element)
		}
		v = v.Elem()
	}
	if field == "Topic" && v.String() == "" {
		return r.topicOf(element)
	}
	return strings.ReplaceAll(fmt.Sprint(v.Interface()), r.prefix, "~")
}

// topicOf is the topic of an element that goes by id.
func (r *renderer) topicOf(element reflect.Value) string {
	v := element.FieldByName("TopicID")
	if !v.IsValid() {
		return ""
	}
	id := v.Interface().([16]byte)
	if name, ok := r.ids[id]; ok {
		return "~" + name
	}
	return r.id(id)
}

// id names a topic id by its topic, for the two brokers have different ones.
func (r *renderer) id(id [16]byte) string {
	if name, ok := r.ids[id]; ok {
		return "id of " + name
	}
	switch {
	case id == [16]byte{}:
		return "id 0"
	case id == noSuchID:
		return "no topic's id"
	}
	return "some id"
}

// batches writes each batch of a record set: its header, and its records as they are.
func (r *renderer) batches(path string, raw []byte, null bool) {
	if null {
		r.out[path] = "null"
		return
	}
	n := 0
	for ; len(raw) >= 61; n++ {
		size := 12 + int(binary.BigEndian.Uint32(raw[8:]))
		if size < 61 || size > len(raw) {
			break // the last batch is cut, as is allowed
		}
		b := raw[:size]
		element := fmt.Sprintf("%s[%d]", path, n)
		r.out[element] = "there"
		at := element + "."
		attributes := binary.BigEndian.Uint16(b[21:])
		r.out[at+"BaseOffset"] = fmt.Sprint(int64(binary.BigEndian.Uint64(b)))
		r.out[at+"PartitionLeaderEpoch"] = fmt.Sprint(int32(binary.BigEndian.Uint32(b[12:])))
		r.out[at+"Magic"] = fmt.Sprint(int8(b[16]))
		r.out[at+"Attributes"] = fmt.Sprintf("%#x", attributes)
		r.out[at+"LastOffsetDelta"] = fmt.Sprint(int32(binary.BigEndian.Uint32(b[23:])))
		if attributes&8 == 0 { // with LogAppendTime the largest time is the broker's, and is under the CRC
			r.out[at+"CRC"] = fmt.Sprintf("%x", b[17:21])
			r.out[at+"MaxTimestamp"] = fmt.Sprint(int64(binary.BigEndian.Uint64(b[35:])))
		}
		r.out[at+"FirstTimestamp"] = fmt.Sprint(int64(binary.BigEndian.Uint64(b[27:])))
		r.out[at+"Producer"] = fmt.Sprintf("epoch %d sequence %d", int16(binary.BigEndian.Uint16(b[51:])), int32(binary.BigEndian.Uint32(b[53:])))
		r.out[at+"Records"] = fmt.Sprintf("%d: %x", int32(binary.BigEndian.Uint32(b[57:])), b[61:])
		raw = raw[size:]
	}
	r.out[path] = fmt.Sprintf("%d batches, %d bytes more", n, len(raw))
}

// difference is one field of one answer.
type difference struct {
	step, path, kafka, ours string
}

// differences compares two answers; absent is how a field that is not there is shown.
func differences(step string, kafka, ours rendering) []difference {
	const absent = "(absent)"
	paths := map[string]bool{}
	for p := range kafka {
		paths[p] = true
	}
	for p := range ours {
		paths[p] = true
	}
	var out []difference
	missing := "" // the element that only one of them has, and whose fields tell nothing more
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		if missing != "" && strings.HasPrefix(p, missing+".") {
			continue
		}
		k, inKafka := kafka[p]
		o, inOurs := ours[p]
		if !inKafka {
			k = absent
		}
		if !inOurs {
			o = absent
		}
		if k != o {
			if k == "there" || o == "there" {
				missing = p
			}
			out = append(out, difference{step, p, k, o})
		}
	}
	return out
}
