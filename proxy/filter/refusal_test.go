package filter

import (
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// full makes lists of two elements, and strings of the names of their fields.
func full(v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		full(v.Elem(), name)
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			full(v.Index(0), name)
			full(v.Index(1), name)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f, n := v.Field(i), v.Type().Field(i).Name; f.CanSet() && n != "UnknownTags" && n != "Version" {
				full(f, n)
			}
		}
	case reflect.String:
		v.SetString(name)
	}
}

// TestRefusal refuses a full request of each key and version that clients use, and wants the code in the answer on the wire, everywhere and
// at least once.
func TestRefusal(t *testing.T) {
	for _, a := range protocol.APIs {
		if a.Listeners&protocol.OnBroker == 0 {
			continue
		}
		for v := a.Min; v <= a.Max; v++ {
			req := protocol.NewRequest(protocol.Header{Key: a.Key, Version: v})
			full(reflect.ValueOf(req).Elem(), "")
			req.SetVersion(v)
			resp := Refusal(req, protocol.PolicyViolation, "no")
			again := protocol.NewResponse(a.Key, v)
			if err := protocol.DecodeResponse(again, resp.AppendTo(nil), nil); err != nil {
				t.Errorf("%s v%d: %v", a.Name, v, err)
				continue
			}
			said, other := codes(reflect.ValueOf(again).Elem(), int64(protocol.PolicyViolation))
			if said == 0 {
				t.Errorf("%s v%d: the code comes %d times, others %d: %+v", a.Name, v, said, other, again)
			}
		}
	}
}

// codes counts the error codes in a message that are code and that are not.
func codes(v reflect.Value, code int64) (said, other int) {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			s, o := codes(v.Index(i), code)
			said, other = said+s, other+o
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name == "ErrorCode" {
				if v.Field(i).Int() == code {
					said++
				} else {
					other++
				}
			} else if name != "UnknownTags" {
				s, o := codes(v.Field(i), code)
				said, other = said+s, other+o
			}
		}
	}
	return said, other
}

// What was asked for by name is answered by name.
func TestRefusalNames(t *testing.T) {
	p := kmsg.NewPtrProduceRequest()
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "orders"
	part := kmsg.NewProduceRequestTopicPartition()
	part.Partition = 5
	topic.Partitions = append(topic.Partitions, part)
	p.Topics = append(p.Topics, topic)
	p.Version = 9
	r := Refusal(p, protocol.TopicAuthorizationFailed, "why").(*kmsg.ProduceResponse)
	if got := r.Topics[0]; got.Topic != "orders" || got.Partitions[0].Partition != 5 || got.Partitions[0].ErrorCode != 29 || got.Partitions[0].BaseOffset != 0 && got.Partitions[0].BaseOffset != -1 {
		t.Errorf("%+v", r)
	}
	d := kmsg.NewPtrDescribeGroupsRequest()
	d.Groups = []string{"a", "b"}
	if r := Refusal(d, protocol.GroupAuthorizationFailed, "").(*kmsg.DescribeGroupsResponse); len(r.Groups) != 2 || r.Groups[1].Group != "b" || r.Groups[1].ErrorCode != 30 {
		t.Errorf("%+v", r)
	}
	m := kmsg.NewPtrMetadataRequest()
	m.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("x")}}
	if r := Refusal(m, protocol.TopicAuthorizationFailed, "").(*kmsg.MetadataResponse); len(r.Topics) != 1 || *r.Topics[0].Topic != "x" || r.Topics[0].ErrorCode != 29 {
		t.Errorf("%+v", r)
	}
	a := kmsg.NewPtrSASLAuthenticateRequest()
	a.SASLAuthBytes = []byte("secret")
	if r := Refusal(a, protocol.SaslAuthenticationFailed, "").(*kmsg.SASLAuthenticateResponse); r.SASLAuthBytes != nil {
		t.Errorf("%+v", r)
	}
	if !strings.Contains((&Refused{protocol.PolicyViolation, "x"}).Error(), "POLICY_VIOLATION") {
		t.Error("no name")
	}
}

func TestSpoil(t *testing.T) {
	r := kmsg.NewPtrMetadataResponse()
	r.Topics = []kmsg.MetadataResponseTopic{{Partitions: []kmsg.MetadataResponseTopicPartition{{}, {}}}}
	Spoil(r, protocol.NotLeaderOrFollower)
	if r.Topics[0].ErrorCode != 6 || r.Topics[0].Partitions[1].ErrorCode != 6 {
		t.Errorf("%+v", r)
	}
}
