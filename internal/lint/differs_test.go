package lint

import (
	"regexp"
	"strings"
	"testing"
)

// differsMark begins a sentence of a comment that says in what Weir is not like Kafka. docs/compatibility.md gathers them.
const differsMark = "Differs from Kafka:"

var bullet = regexp.MustCompile(`^\s*[-*•] +`)

// differs are the differences that the text of a comment names: the rest of the paragraph behind the mark, one for each item where
// it is a list.
func differs(text string) []string {
	var out []string
	for {
		_, rest, ok := strings.Cut(text, differsMark)
		if !ok {
			return out
		}
		var item []string
		flush := func() {
			if len(item) > 0 {
				out = append(out, strings.Join(item, " "))
			}
			item = nil
		}
		listed, gap := false, false
		for line := range strings.Lines(rest) {
			line = strings.TrimRight(line, "\n")
			if strings.TrimSpace(line) == "" {
				gap = true // gofmt puts an empty line before a list
				continue
			}
			starts := bullet.MatchString(line)
			indented := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
			if gap && !starts && !(listed && indented) || strings.Contains(line, differsMark) {
				break
			}
			if starts {
				flush()
				listed = true
				line = bullet.ReplaceAllString(line, "")
			} else if listed && !indented {
				break
			}
			gap = false
			item = append(item, strings.TrimSpace(line))
		}
		flush()
		text = rest
	}
}

func TestDiffers(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"Produce (0).\n\nDiffers from Kafka: nothing known.\n", []string{"nothing known."}},
		{"Differs from Kafka: one thing that\ngoes on.\n\nAnother paragraph.\n", []string{"one thing that goes on."}},
		{"Differs from Kafka:\n  - one that\n    goes on\n  - two\n\nMore.\n", []string{"one that goes on", "two"}},
		{"Differs from Kafka:\n\n  - one\n  - two\n", []string{"one", "two"}},
		{"Differs from Kafka: a.\nDiffers from Kafka: b.\n", []string{"a.", "b."}},
		{"No difference.\n", nil},
		{"Differs from Kafka:\n", nil},
		{"Differs from Kafka:\n\nAnother paragraph.\n", nil},
	} {
		if got := differs(c.text); strings.Join(got, "|") != strings.Join(c.want, "|") {
			t.Errorf("%q gives %q, want %q", c.text, got, c.want)
		}
	}
}
