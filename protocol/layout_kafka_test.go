package protocol

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// aTag is a tagged field with its number.
var aTag = regexp.MustCompile(` ?#\d+ (\?\[ = 16 \]|\[ = 16 \]|\{ 4 8 \}|\w+)`)

// TestLayoutsAreKafkas compares with the schemas of Kafka 4.4.0's own messages: order, widths, what may be null, tagged fields. Each
// line of the file is key, version and the words of that version. kmsg takes a tagged field in all flexible versions, Kafka from the
// one on that has it; else they must be the same.
func TestLayoutsAreKafkas(t *testing.T) {
	text, err := os.ReadFile("testdata/layouts.txt")
	if err != nil {
		t.Fatal(err)
	}
	kafka := map[string]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 3)
		kafka[f[0]+" "+f[1]] = strings.Join(f[2:], "")
	}
	for _, a := range APIs {
		for v := a.Min; v <= a.Max; v++ {
			id := fmt.Sprint(a.Key, " ", v)
			want, ok := kafka[id]
			if !ok && a.Key == 0 && v < 3 {
				continue // Produce is advertised from 0 and refused below 3
			}
			got := layoutWords(layouts[a.Key], v)
			for _, tag := range aTag.FindAllString(want, -1) {
				if !strings.Contains(got, tag) {
					t.Errorf("%s v%d has no %s", a.Name, v, tag)
				}
			}
			if !ok || aTag.ReplaceAllString(got, "") != aTag.ReplaceAllString(want, "") {
				t.Errorf("%s v%d:\n got %s\nwant %s", a.Name, v, got, want)
			}
			delete(kafka, id)
		}
	}
	delete(kafka, "22 6") // not stable in 4.4, so not served there either
	for id := range kafka {
		t.Errorf("Kafka has key and version %s", id)
	}
}

// layoutWords writes a layout as one version has it.
func layoutWords(l *layout, version int16) string {
	var words []string
	if l.bare {
		words = append(words, "=")
	}
	for i := range l.fields {
		if f := &l.fields[i]; version >= f.min && version <= f.max {
			words = append(words, fieldWords(f, version))
		}
	}
	for i := range l.tagged {
		if f := &l.tagged[i]; version >= f.min && version <= f.max {
			words = append(words, fmt.Sprintf("#%d %s", f.tag, fieldWords(f, version)))
		}
	}
	return strings.Join(words, " ")
}

func fieldWords(f *wireField, version int16) string {
	null := f.nullFrom <= version
	word := map[wireKind]string{wireString: "s", wireBytes: "b"}[f.kind]
	switch f.kind {
	case wireFixed:
		word = fmt.Sprint(f.width)
	case wireArray:
		word = "[ " + layoutWords(f.elem, version) + " ]"
	case wireStruct:
		word = "{ " + layoutWords(f.elem, version) + " }"
	}
	switch {
	case null && len(word) == 1:
		return strings.ToUpper(word)
	case null:
		return "?" + word
	}
	return word
}
