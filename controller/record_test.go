package controller

import (
	"bufio"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"weir/protocol"
)

func ptr[T any](v T) *T { return &v }

var (
	uuidA = protocol.UUID{1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18}
	uuidB = protocol.UUID{0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38}
)

// goldenRecords are the records of testdata/records.txt.
func goldenRecords() map[string]Record {
	none := []int32{}
	return map[string]Record{
		"register": &RegisterBrokerRecord{BrokerID: 5, Incarnation: uuidA, BrokerEpoch: 123,
			Endpoints: []Endpoint{{"PLAINTEXT", "localhost", 49092, 0}}, Features: []FeatureRange{{MetadataVersion, 7, 33}},
			Rack: "r1", Fenced: true, ShuttingDown: true, LogDirs: []protocol.UUID{uuidB}},
		"register-null": &RegisterBrokerRecord{BrokerID: 5, Incarnation: uuidA, BrokerEpoch: -1},
		"unregister":    &UnregisterBrokerRecord{5, 123},
		"topic":         &TopicRecord{"foo", uuidA},
		"partition": &PartitionRecord{PartitionID: 3, TopicID: uuidA, Replicas: []int32{1, 2}, ISR: []int32{2}, Removing: []int32{1},
			Adding: none, Leader: 2, LeaderEpoch: 4, PartitionEpoch: 9, Directories: []protocol.UUID{uuidA, uuidB}},
		"partition-full": &PartitionRecord{PartitionID: 3, TopicID: uuidA, Replicas: []int32{1, 2}, ISR: none, Removing: none, Adding: none,
			Leader: -1, LeaderEpoch: 4, PartitionEpoch: 9, Directories: []protocol.UUID{uuidA, uuidB}, LeaderRecoveryState: 1,
			ELR: []int32{1}, LastELR: []int32{2}},
		"config":      &ConfigRecord{2, "foo", "retention.ms", ptr("5")},
		"config-null": &ConfigRecord{4, "", "k", nil},
		"change":      &PartitionChangeRecord{PartitionID: 3, TopicID: uuidA, ISR: []int32{1}, Leader: 1, LeaderRecoveryState: -1},
		"change-full": &PartitionChangeRecord{PartitionID: 3, TopicID: uuidA, ISR: none, Leader: -1, Replicas: []int32{1, 2},
			Removing: []int32{2}, Adding: []int32{1}, LeaderRecoveryState: 1, ELR: []int32{1}, LastELR: []int32{2},
			Directories: []protocol.UUID{uuidA, uuidB}},
		"change-none":        &PartitionChangeRecord{PartitionID: 3, TopicID: uuidA, Leader: NoLeaderChange, LeaderRecoveryState: -1},
		"remove":             &RemoveTopicRecord{uuidA},
		"feature":            &FeatureLevelRecord{MetadataVersion, 33},
		"pids":               &ProducerIDsRecord{1, 7, 2000},
		"brokerchange":       &BrokerRegistrationChangeRecord{1, 7, -1, 1, []protocol.UUID{uuidB}},
		"brokerchange-fence": &BrokerRegistrationChangeRecord{1, 7, 1, 0, nil},
		"noop":               &NoOpRecord{},
	}
}

func TestRecordsAreKafkas(t *testing.T) {
	f, err := os.Open("testdata/records.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := goldenRecords()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if name == "#" {
			continue
		}
		golden, err := hex.DecodeString(text)
		if err != nil || want[name] == nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := AppendRecord(nil, want[name]); hex.EncodeToString(got) != text {
			t.Errorf("%s:\nhave %x\nwant %s", name, got, text)
		}
		rec, err := DecodeRecord(golden)
		if err != nil || !reflect.DeepEqual(rec, want[name]) {
			t.Errorf("%s: decoded %+v, %v", name, rec, err)
		}
		for n := range golden {
			if _, err := DecodeRecord(golden[:n]); !errors.Is(err, protocol.ErrMalformed) {
				t.Errorf("%s cut to %d bytes: %v", name, n, err)
			}
		}
		if _, err := DecodeRecord(append(golden, 0)); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s with a byte more: %v", name, err)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is not in the file", name)
	}
}

func TestNewerRecordsAreRefused(t *testing.T) {
	for _, text := range []string{
		"0100040000000500010203040506070811121314151617180000000000000000010101010000", // RegisterBroker 4 of Kafka 4.4
		"01f42700",   // a type nobody knows
		"021400",     // a newer frame
		"01ffffff07", // a type beyond int16, cut
	} {
		b, _ := hex.DecodeString(text)
		_, err := DecodeRecord(b)
		var unknown *UnknownRecordError
		if !errors.As(err, &unknown) && !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A length that lies must not make the decoder allocate.
func TestLyingLengths(t *testing.T) {
	rec := AppendRecord(nil, &PartitionRecord{TopicID: uuidA, Replicas: []int32{1}, ISR: []int32{1}})
	lie := append(append([]byte{}, rec[:23]...), 0xff, 0xff, 0xff, 0xff, 0x0f)
	if _, err := DecodeRecord(append(lie, rec[24:]...)); !errors.Is(err, protocol.ErrMalformed) {
		t.Fatal(err)
	}
	batch := []byte{batchVersion, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}
	if _, _, err := DecodeBatch(batch); !errors.Is(err, protocol.ErrMalformed) {
		t.Fatal(err)
	}
}

func FuzzDecodeBatch(f *testing.F) {
	for _, rec := range goldenRecords() {
		f.Add(AppendBatch(nil, 7, []Record{rec, &NoOpRecord{}}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		term, records, err := DecodeBatch(b)
		if err != nil {
			return
		}
		// What decodes must survive a merge, whatever it says, and encode to what decodes to the same.
		if _, _, err := Merge(NewImage(), records, 1, 1); err != nil && !errors.Is(err, errMerge) {
			t.Fatal(err)
		}
		again := AppendBatch(nil, term, records)
		if _, more, err := DecodeBatch(again); err != nil || !reflect.DeepEqual(AppendBatch(nil, term, more), again) {
			t.Fatalf("%x: %v", again, err)
		}
	})
}
