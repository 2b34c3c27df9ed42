package differential

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	compat "weir-compat"
)

// free are the fields that differ between any two brokers, Kafka and Kafka included. In a path * stands for anything.
var free = []struct {
	path string
	why  string
	same func(kafka, ours string) bool // what must still hold; nil for nothing
}{
	{"*.ThrottleMillis", "a throttle depends on load", nil},
	{"*.ErrorMessage", "words are each broker's own; the code is what programs read", bothOrNeither},
	{"*.BatchIndexErrorMessage", "words", bothOrNeither},
	{"*.ErrorRecords[*].ErrorMessage", "words", bothOrNeither},
	{"*.ClusterID", "each cluster has its own", bothOrNeither},
	{"*Brokers[*].Host", "an address", nil},
	{"*Brokers[*].Port", "an address", nil},
	{"ApiVersions.FinalizedFeaturesEpoch", "an offset of the metadata log", sameSign},
	{"Fetch.SessionID", "a random number", sameSign},
	{"InitProducerID.ProducerID", "given out in each cluster's own order", sameSign},
	{"Produce.Topics[*].Partitions[*].LogAppendTime", "the time, or -1", sameSign},
	{"ListOffsets.Topics[*].Partitions[*].Timestamp", "the broker's time in topics with LogAppendTime; compared by the batches", sameSign},
	{"DescribeProducers.Topics[*].Partitions[*].ActiveProducers[*].LastTimestamp", "a marker has the broker's time", sameSign},
	{"FindCoordinator.*Host", "an address", bothOrNeither},
	{"FindCoordinator.*Port", "an address", sameSign},
	{"JoinGroup.MemberID", "a random name", bothOrNeither},
	{"JoinGroup.LeaderID", "a random name", bothOrNeither},
	{"JoinGroup.Members[*].MemberID", "a random name", bothOrNeither},
	{"DescribeGroups.Groups[*].Members[*].MemberID", "a random name", bothOrNeither},
	{"LeaveGroup.Members[*].MemberID", "a random name", bothOrNeither},
	{"ConsumerGroupHeartbeat.MemberID", "a random name", bothOrNeither},
	{"DescribeLogDirs.Dirs[*].Dir", "a path", nil},
	{"DescribeLogDirs.Dirs[*].TotalBytes", "the size of a disk", sameSign},
	{"DescribeLogDirs.Dirs[*].UsableBytes", "the space of a disk", sameSign},
	{"DescribeConfigs.Resources[*].Configs[*].Documentation", "written in each broker's own words", bothOrNeither},
	{"DescribeConfigs.Resources[1].Configs[listeners].*Value", "an address", bothOrNeither},
	{"DescribeConfigs.Resources[1].Configs[advertised.listeners]*", "an address, which only kafka.sh sets", nil},
	{"DescribeConfigs.Resources[1].Configs[controller.quorum.voters]*", "Kafka does not start without, and it is an address", nil},
	{"DescribeConfigs.Resources[1].Configs[controller.listener.names]*", "Kafka does not start without", nil},
	{"DescribeConfigs.Resources[1].Configs[log.dir*].*Value", "a path", bothOrNeither},
}

// known are the differences that docs/compatibility.md states. Says is a part of the sentence there; a test holds it to the page.
var known = []struct {
	key  int16
	path string
	says string
	same func(kafka, ours string) bool // what must still hold; nil for nothing
}{
	{0, "Fetch.Topics[*].Partitions[*].RecordBatches[*].CRC", "offset deltas are not 0..n-1", nil},
	{0, "Fetch.Topics[*].Partitions[*].RecordBatches[*].Records", "offset deltas are not 0..n-1", sameButDeltas},
	{1, "Fetch.Topics[*].Partitions[*].RecordBatches", "whole batches only", sameWholeBatches},
	{21, "ListOffsets.Topics[~a].Partitions[0].Offset", "the largest timestamp is that of the records that are left", func(kafka, ours string) bool { return kafka == "9" && ours == "11" }},
	{3, "Metadata.Topics[~new].*", "a topic that is created by this request is in the response as it is", nil},
	{18, "ApiVersions.*Features*", "the features whose promises it keeps", nil},
	{19, "CreateTopics.Topics[*].Configs[min.insync.replicas].Source", "min.insync.replicas has the source DEFAULT_CONFIG", nil},
	{32, "DescribeConfigs.Resources[1].Configs[node.id].ConfigSynonyms*", "node.id and process.roles have defaults", nil},
	{32, "DescribeConfigs.Resources[1].Configs[process.roles].ConfigSynonyms*", "node.id and process.roles have defaults", nil},
	{32, "DescribeConfigs.Resources[*].Configs[min.insync.replicas]*", "min.insync.replicas is a default where Kafka's controller has set it", nil},
	{32, "DescribeConfigs.Resources[].Configs", "min.insync.replicas is a default where Kafka's controller has set it", oneLess},
	{35, "DescribeLogDirs.Dirs[0].Topics[*].Partitions[*].Size", "sizes count the log's own framing", littleMore},
}

// sameWholeBatches lets the batch that is cut at the end be missing.
func sameWholeBatches(kafka, ours string) bool {
	k, _, _ := strings.Cut(kafka, ",")
	o, rest, _ := strings.Cut(ours, ",")
	return k == o && rest == " 0 bytes more"
}

// sameButDeltas lets two records of the same size differ in a byte or so: an offset delta.
func sameButDeltas(kafka, ours string) bool {
	different := 0
	for i := range min(len(kafka), len(ours)) {
		if kafka[i] != ours[i] {
			different++
		}
	}
	return len(kafka) == len(ours) && different <= 4
}

// oneLess compares numbers of elements.
func oneLess(kafka, ours string) bool {
	number := func(v string) int {
		n, _ := strconv.Atoi(strings.TrimSuffix(v, " elements")) // 0 of "null"
		return n
	}
	return number(ours) == number(kafka)-1
}

// littleMore compares sizes of logs.
func littleMore(kafka, ours string) bool {
	k, err := strconv.Atoi(kafka)
	o, err2 := strconv.Atoi(ours)
	return err == nil && err2 == nil && o >= k && o <= k+k/20
}

func bothOrNeither(kafka, ours string) bool {
	missing := func(v string) bool { return v == "null" || v == "(absent)" || v == "" }
	return missing(kafka) == missing(ours)
}

func sameSign(kafka, ours string) bool { return sign(kafka) == sign(ours) }

func sign(v string) string {
	switch {
	case v == "0" || v == "(absent)":
		return v
	case strings.HasPrefix(v, "-"):
		return "a negative number"
	}
	return "a positive number"
}

func glob(pattern string) *regexp.Regexp {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$")
}

// allowed says that a difference is none that counts, in the answer to a request of key in a case about another.
func allowed(d difference, key, about int16) bool {
	for _, f := range free {
		if globs[f.path].MatchString(d.path) && (f.same == nil || f.same(d.kafka, d.ours)) {
			return true
		}
	}
	for i, k := range known {
		if (k.key == key || k.key == about) && globs[k.path].MatchString(d.path) && (k.same == nil || k.same(d.kafka, d.ours)) {
			used[i] = true
			return true
		}
	}
	return key == apiVersions && notServedYet(d)
}

var (
	globs = map[string]*regexp.Regexp{}
	used  = map[int]bool{} // the known differences that were seen
)

func init() {
	for _, f := range free {
		globs[f.path] = glob(f.path)
	}
	for _, k := range known {
		globs[k.path] = glob(k.path)
	}
}

const apiVersions = 18

// mustServe are the keys that have to be in ApiVersions whatever else is still missing.
var mustServe = []int16{0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 32, 33, 35, 37, 42, 44, 47, 57, 60,
	61, 65, 66, 68, 69, 74, 75}

var apiKey = regexp.MustCompile(`^ApiVersions\.ApiKeys(\[(\d+)\](\..*)?)?$`)

// notServedYet lets a key be absent that the page lists as not served; versions of a key that is there must be Kafka's.
func notServedYet(d difference) bool {
	m := apiKey.FindStringSubmatch(d.path)
	if m == nil {
		return false
	}
	if m[1] == "" { // the number of elements
		return true
	}
	for _, key := range mustServe {
		if m[2] == itoa(key) {
			return false
		}
	}
	return d.ours == "(absent)"
}

// Each known difference is in the page that users read.
func TestKnownDifferencesAreDocumented(t *testing.T) {
	root, err := compat.Root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "compatibility.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range known {
		if k.says == "" || !strings.Contains(string(page), k.says) {
			t.Errorf("docs/compatibility.md does not say %q (key %d, %s)", k.says, k.key, k.path)
		}
	}
}
