package lint

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"sort"
	"strings"
	"testing"

	"weir/config"
	"weir/protocol"
)

// rewrite makes TestCompatibility write the page instead of comparing with it. The difference is read like code.
var rewrite = flag.Bool("rewrite", false, "write docs/compatibility.md anew")

const (
	compatibilityPage = "docs/compatibility.md"
	nothingKnown      = "nothing known"
)

const compatibilityHead = `# Compatibility

<!-- Generated from broker/api.Table, protocol.APIs and the comments that say "%s"; do not edit.
     Write it anew: go test ./internal/lint -run TestCompatibility -rewrite -->

Measured against Kafka 4.4: a key that is served has Kafka's versions, minimum ones too, and is advertised; what is not served
yet is not advertised, and asking for it closes the connection, as Kafka does with a key it does not know.

`

var answerers = map[protocol.Answerer]string{
	protocol.AnyBroker:        "any broker",
	protocol.ThisBroker:       "this broker",
	protocol.PartitionLeader:  "partition leader",
	protocol.GroupCoordinator: "group coordinator",
	protocol.TxnCoordinator:   "transaction coordinator",
	protocol.ShareCoordinator: "share coordinator",
	protocol.Controller:       "controller",
}

// settings are the names of a scope: those that are acted on, those that are not, and by reason those that never have to be.
type settings struct {
	scope          string
	honoured, rest []string
	needless       map[string][]string
}

// allSettings reads config's tables, but for what Kafka hides as well.
func allSettings() []settings {
	var out []settings
	for scope, name := range []string{config.BrokerScope: "broker", config.TopicScope: "topic", config.GroupScope: "group"} {
		s := settings{scope: name, needless: map[string][]string{}}
		for _, row := range config.Settings(config.Scope(scope)) {
			switch {
			case row.Internal:
			case row.Honoured:
				s.honoured = append(s.honoured, row.Name)
			case row.Needless != "":
				s.needless[row.Needless] = append(s.needless[row.Needless], row.Name)
			default:
				s.rest = append(s.rest, row.Name)
			}
		}
		out = append(out, s)
	}
	return out
}

func (s *settings) count() int {
	n := len(s.honoured) + len(s.rest)
	for _, names := range s.needless {
		n += len(names)
	}
	return n
}

// compatibility is the page that the source of t asks for.
func compatibility(t *tree, apis []protocol.API, all []settings) string {
	rows, _ := tableRows(t)
	served := map[int16]bool{}
	for _, r := range rows {
		served[r.key] = true
	}
	perKey, elsewhere := gather(t)

	var b strings.Builder
	fmt.Fprintf(&b, compatibilityHead, differsMark)
	fmt.Fprintf(&b, "## Served: %d of %d keys\n\n", len(served), len(apis))
	b.WriteString("| key | name | versions | answered by | differs from Kafka |\n|---|---|---|---|---|\n")
	for _, a := range apis {
		if served[a.Key] {
			fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", a.Key, a.Name, versions(a), answerers[a.Answers], cell(perKey[a.Key]))
		}
	}

	b.WriteString("\n## Other differences\n\n")
	if len(elsewhere) == 0 {
		b.WriteString("None known.\n")
	}
	for _, e := range elsewhere {
		fmt.Fprintf(&b, "- %s (`%s`)\n", e.text, e.file)
	}

	b.WriteString("\n## Settings\n\nAll settings of Kafka 4.4 are accepted, checked and shown. These have an effect:\n\n")
	for _, s := range all {
		fmt.Fprintf(&b, "- %s: %d of %d: %s\n", s.scope, len(s.honoured), s.count(), names(s.honoured))
	}
	b.WriteString("\nThese need none, because what they steer in Kafka is not there:\n\n")
	for _, s := range all {
		for _, why := range slices.Sorted(maps.Keys(s.needless)) {
			fmt.Fprintf(&b, "- %s: %s: %s\n", s.scope, why, names(s.needless[why]))
		}
	}
	b.WriteString("\nThese have none yet. Where one of them is set, the start says so in one line:\n\n")
	for _, s := range all {
		fmt.Fprintf(&b, "- %s: %s\n", s.scope, names(s.rest))
	}

	b.WriteString("\n## Not served yet\n\nKeys of Kafka 4.4 that a client finds missing in ApiVersions.\n\n")
	b.WriteString("| key | name | versions in Kafka | answered by |\n|---|---|---|---|\n")
	for _, a := range apis {
		if !served[a.Key] {
			fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", a.Key, a.Name, versions(a), answerers[a.Answers])
		}
	}
	return b.String()
}

// names are settings as the page writes them.
func names(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return "`" + strings.Join(all, "`, `") + "`"
}

// difference is one that is said outside of a handler's file.
type difference struct{ file, text string }

// gather finds the differences in comments of all code but tests: those of handlers by key, and the others by file.
func gather(t *tree) (perKey map[int16][]string, elsewhere []difference) {
	perKey = map[int16][]string{}
	for _, f := range t.files {
		if f.test() || !f.module || strings.HasPrefix(f.path, "internal/lint/") {
			continue
		}
		for _, c := range f.ast.Comments {
			for _, d := range differs(c.Text()) {
				if strings.HasPrefix(strings.ToLower(d), nothingKnown) {
					continue
				}
				if m := handlerFile.FindStringSubmatch(f.path); m != nil {
					var key int16
					fmt.Sscanf(m[1], "%d", &key) // not Sscan: to it 08 is no octal number
					perKey[key] = append(perKey[key], d)
				} else {
					if about := before(c.Text()); about != "" {
						d = about + " Kafka: " + d
					}
					elsewhere = append(elsewhere, difference{f.path, d})
				}
			}
		}
	}
	sort.SliceStable(elsewhere, func(i, j int) bool { return elsewhere[i].file < elsewhere[j].file })
	return perKey, elsewhere
}

// before is the paragraph of a comment that stands before its differences: what they are about.
func before(text string) string {
	head, _, _ := strings.Cut(text, differsMark)
	paragraphs := strings.Split(strings.TrimSpace(head), "\n\n")
	return strings.Join(strings.Fields(paragraphs[len(paragraphs)-1]), " ")
}

// versions are a's as the page writes them.
func versions(a protocol.API) string {
	if a.Min == a.Max {
		return fmt.Sprint(a.Min)
	}
	return fmt.Sprintf("%d to %d", a.Min, a.Max)
}

// cell is a cell of a table that holds texts.
func cell(texts []string) string {
	return strings.ReplaceAll(strings.Join(texts, "<br>"), "|", "\\|")
}

func TestCompatibility(t *testing.T) {
	tr := theHouse(t)
	want := compatibility(tr, protocol.APIs, allSettings())
	if *rewrite {
		if err := os.WriteFile(path.Join("../..", compatibilityPage), []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got := string(tr.texts[compatibilityPage]); got != want {
		t.Errorf("%s is stale at %q: run go test ./internal/lint -run TestCompatibility -rewrite and read the difference", compatibilityPage, firstDifference(got, want))
	}
}

// firstDifference is the first line of want that got does not have in its place.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range w {
		if i >= len(g) || g[i] != w[i] {
			return w[i]
		}
	}
	return "its end"
}

func TestCompatibilitySays(t *testing.T) {
	page := compatibility(tiny(t,
		"broker/api/table.go", "package api\nvar Table = []Row{{0, handle(produce)}, {3, handle(metadata)}}\n",
		"broker/api/00_produce.go", "package api\n\n// Produce (0), v3-13.\n//\n// Differs from Kafka:\n//   - one | two\n//   - three\nfunc produce() {}\n",
		"broker/api/03_metadata.go", "package api\n\n// Metadata (3), v0.\n//\n// Differs from Kafka: nothing known.\nfunc metadata() {}\n",
		"wal/a.go", "package wal\n\n// It is a log.\n//\n// roll begins a\n// file.\n//\n// Differs from Kafka: files are\n// larger.\nfunc roll() {}\n",
		"wal/a_test.go", "package wal\n\n// Differs from Kafka: this is a test.\n",
	), []protocol.API{{Key: 0, Name: "Produce", Min: 3, Max: 13, Answers: protocol.PartitionLeader}, {Key: 3, Name: "Metadata"}, {Key: 12, Name: "Heartbeat", Max: 4, Answers: protocol.GroupCoordinator}},
		[]settings{{"broker", []string{"node.id"}, []string{"a.b", "c"}, map[string][]string{"no threads": {"e"}}}, {"group", nil, []string{"d"}, nil}})
	for _, line := range []string{
		"## Served: 2 of 3 keys",
		"| 0 | Produce | 3 to 13 | partition leader | one \\| two<br>three |",
		"| 3 | Metadata | 0 | any broker |  |",
		"- roll begins a file. Kafka: files are larger. (`wal/a.go`)",
		"| 12 | Heartbeat | 0 to 4 | group coordinator |",
		"- broker: 1 of 4: `node.id`",
		"- broker: no threads: `e`",
		"- broker: `a.b`, `c`",
		"- group: 0 of 1: none",
	} {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("the page has no line %q:\n%s", line, page)
		}
	}
	if strings.Contains(page, "this is a test") {
		t.Error("a comment of a test got into the page")
	}
}
