package lint

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// words are what no file of the house may say. Each is put together so that this file does not say it either.
var words = []struct {
	what *regexp.Regexp
	why  string
}{
	{regexp.MustCompile(`(^|[^A-Za-z0-9_.~})-])/(` + strings.Join([]string{"work", "farm", "root", "home", "Users"}, "|") + `)/[A-Za-z0-9_.]`), "a path of somebody's machine"},
	{regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`), "unfinished: do it, or say what is not done where the reader looks for it"},
	{regexp.MustCompile(`<<<<` + `<<< |>>>>` + `>>> `), "a merge that was not finished"},
}

// wordProblems looks at every text file, Go or not.
func wordProblems(t *tree) []string {
	var out []string
	look := func(p string, src []byte) {
		for i, line := range bytes.Split(src, []byte("\n")) {
			for _, w := range words {
				if m := w.what.Find(line); m != nil {
					out = append(out, fmt.Sprintf("%s:%d: %q: %s", p, i+1, bytes.TrimSpace(m), w.why))
				}
			}
		}
	}
	for _, f := range t.files {
		look(f.path, f.src)
	}
	for p, src := range t.texts {
		look(p, src)
	}
	return out
}

func TestWords(t *testing.T) {
	report(t, wordProblems(theHouse(t)))
}

func TestWordsCanFail(t *testing.T) {
	wantProblem(t, wordProblems(tiny(t,
		"a.go", "package a\n\n// TO"+"DO: more.\nvar s = \"/ho"+"me/me/x\" // https://example.com/ho"+"me/x is fine, so is ./wo"+"rk/x\n",
		"docs/a.md", "see /wo"+"rk/shared\n",
		"data/a.md", "see /wo"+"rk/shared\n",
	)),
		"a.go:3: ",
		"a.go:4: ",
		"docs/a.md:1: ",
	)
}
