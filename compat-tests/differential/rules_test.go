package differential

import (
	"os"
	"path/filepath"
	"regexp"
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
}{}

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

// allowed says that a difference is none that counts.
func allowed(d difference, key int16) bool {
	for _, f := range free {
		if globs[f.path].MatchString(d.path) && (f.same == nil || f.same(d.kafka, d.ours)) {
			return true
		}
	}
	for i, k := range known {
		if k.key == key && globs[k.path].MatchString(d.path) {
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
var mustServe = []int16{0, 1, 2, 3, 18, 19, 20, 21, 22, 23, 32, 33, 35, 37, 44, 60, 75}

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
