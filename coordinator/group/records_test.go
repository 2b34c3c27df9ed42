package group

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"weir/coordinator"
	"weir/protocol"
)

// golden is a record as Kafka writes it.
type golden struct {
	name       string
	key, value []byte
}

// readGolden reads what compat-tests/kafka/GroupRecords.java printed.
func readGolden(t testing.TB) []golden {
	b, err := os.ReadFile("testdata/records/kafka-4.4.0.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	unhex := func(s string) []byte {
		if s == "null" {
			return nil
		}
		v, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	var out []golden
	for i := 0; i+2 < len(lines); i += 3 {
		out = append(out, golden{lines[i], unhex(lines[i+1]), unhex(lines[i+2])})
	}
	return out
}

// encodeKey is the key as our encoders write it.
func encodeKey(k *recordKey) []byte {
	switch k.kind {
	case typeOffsetCommit:
		return appendOffsetKey(nil, string(k.group), string(k.topic), k.partition)
	case typeConsumerMember, typeConsumerTargetMember, typeConsumerCurrent, typeConsumerRegex:
		return appendMemberKey(nil, k.kind, string(k.group), string(k.member))
	}
	return appendGroupKey(nil, k.kind, string(k.group))
}

// reencode decodes a value and writes it again, as the newest version that its fields allow.
func reencode(kind int16, b []byte) ([]byte, error) {
	type value interface {
		append([]byte) []byte
		decode([]byte) error
	}
	var v value
	switch kind {
	case typeLegacyOffsetCommit, typeOffsetCommit:
		o, err := decodeOffsetValue(b)
		if err != nil {
			return nil, err
		}
		return appendOffsetValue(nil, o.offset, o.leaderEpoch, string(o.metadata), o.committed, o.expires, o.topicID), nil
	case typeGroupMetadata:
		g, err := decodeGroupValue(b)
		if err != nil {
			return nil, err
		}
		return appendGroupValue(nil, g), nil
	case typeConsumerMetadata:
		v = &consumerMetadataValue{}
	case typeConsumerMember:
		v = &consumerMemberValue{}
	case typeConsumerTarget:
		v = &consumerTargetValue{}
	case typeConsumerTargetMember:
		v = &consumerTargetMemberValue{}
	case typeConsumerCurrent:
		v = &consumerCurrentValue{}
	case typeConsumerRegex:
		v = &consumerRegexValue{}
	default:
		return nil, errUnknown
	}
	if err := v.decode(b); err != nil {
		return nil, err
	}
	return v.append(nil), nil
}

// TestRecordsAreKafkas holds that we read Kafka's records and write the same bytes.
func TestRecordsAreKafkas(t *testing.T) {
	older := map[string]bool{"offset legacy": true, "offset v0": true, "offset v2": true, "offset v3": true, // versions that nobody writes any more
		"group v0": true, "group v1": true, "group v2": true, "group v4": true}
	all := readGolden(t)
	if len(all) < 25 {
		t.Fatalf("only %d golden records", len(all))
	}
	for _, g := range all {
		k, err := decodeKey(g.key)
		if err != nil {
			t.Errorf("%s: key: %v", g.name, err)
			continue
		}
		if got := encodeKey(&k); !bytes.Equal(got, g.key) && k.kind != typeLegacyOffsetCommit {
			t.Errorf("%s: key %x, want %x", g.name, got, g.key)
		}
		if g.value == nil {
			continue
		}
		got, err := reencode(k.kind, g.value)
		if err != nil {
			t.Errorf("%s: %v", g.name, err)
		} else if bytes.Equal(got, g.value) == older[g.name] {
			t.Errorf("%s: value %x, Kafka's %x", g.name, got, g.value)
		}
	}
}

// TestOldVersions holds that fields which a version has not are what Kafka takes them for.
func TestOldVersions(t *testing.T) {
	id := protocol.UUID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	for _, g := range readGolden(t) {
		var version int
		if n, _ := fmt.Sscanf(g.name, "offset v%d", &version); n == 1 && !strings.Contains(g.name, "without") {
			v, err := decodeOffsetValue(g.value)
			want := offsetValue{offset: 1 << 40, leaderEpoch: -1, committed: 1234567890123, expires: -1, metadata: v.metadata}
			if version >= 3 {
				want.leaderEpoch = 5
			}
			if version == 1 {
				want.expires = 99
			}
			if version >= 4 {
				want.topicID = id
			}
			if err != nil || string(v.metadata) != "möre" || fmt.Sprint(v) != fmt.Sprint(want) {
				t.Errorf("%s: %+v %v, want %+v", g.name, v, err, want)
			}
		}
		if n, _ := fmt.Sscanf(g.name, "group v%d", &version); n == 1 {
			v, err := decodeGroupValue(g.value)
			if err != nil {
				t.Errorf("%s: %v", g.name, err)
				continue
			}
			m := v.members[0]
			if (m.instance != nil) != (version >= 3) || (m.rebalanceMs == 60000) != (version >= 1) || (v.since == 5000) != (version >= 2) ||
				m.sessionMs != 45000 || string(m.assignment) != "assigned" || v.members[1].id != "m2" || v.generation != 12 {
				t.Errorf("%s: %+v", g.name, v)
			}
		}
	}
}

// FuzzRecords hands any bytes to Replay: it must return, and take no more memory than there are bytes.
func FuzzRecords(f *testing.F) {
	for _, g := range readGolden(f) {
		f.Add(g.key, g.value)
		f.Add(g.key, append(bytes.Clone(g.value), 0xff))
		if len(g.value) > 3 {
			f.Add(g.key, g.value[:len(g.value)-2])
		}
	}
	f.Add([]byte{0, 9, 0, 1, 'g'}, []byte(nil))
	f.Add([]byte{0, 99}, []byte{0, 0})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		m := New(testConfig(), newTestMetadata())
		_ = m.Replay(coordinator.At{ProducerID: -1}, coordinator.Record{Key: key, Value: value})
		_ = m.Replay(coordinator.At{Offset: 1, ProducerID: 7}, coordinator.Record{Key: key, Value: value})
		m.ReplayMarker(coordinator.At{Offset: 2, ProducerID: 7}, true)
		m.Elected(1000)
		if k, err := decodeKey(key); err == nil && value != nil {
			if b, err := reencode(k.kind, value); err == nil {
				if again, err := reencode(k.kind, b); err != nil || !bytes.Equal(b, again) {
					t.Fatalf("decoding what we wrote: %v\n%x\n%x", err, b, again)
				}
			}
		}
	})
}
