package lint

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"testing"
)

// module is one line of go.mod's requirements.
type module struct {
	path     string
	indirect bool
}

var requireLine = regexp.MustCompile(`^\s*(?:require\s+)?([^\s/]+\.[^\s]+) v[^\s]+(\s*// indirect)?\s*$`)

// modules are the requirements in the text of a go.mod.
func modules(gomod string) []module {
	var out []module
	for line := range strings.Lines(gomod) {
		if m := requireLine.FindStringSubmatch(line); m != nil {
			out = append(out, module{m[1], m[2] != ""})
		}
	}
	return out
}

// direct are the modules that the root module itself imports, tests included.
func direct(t *tree) []string {
	found := map[string]bool{}
	for _, m := range modules(string(t.texts["go.mod"])) {
		if !m.indirect {
			found[m.path] = true
		}
	}
	for _, f := range t.files {
		if !f.module {
			continue
		}
		for p := range f.imports() {
			best := ""
			for _, m := range modules(string(t.texts["go.mod"])) {
				if (p == m.path || strings.HasPrefix(p, m.path+"/")) && len(m.path) > len(best) {
					best = m.path
				}
			}
			if best != "" {
				found[best] = true
			}
		}
	}
	out := make([]string, 0, len(found))
	for p := range found {
		out = append(out, p)
	}
	sort.Strings(out)
	return out
}

// gomodProblems keeps the library usable by others: directives that only count in the main module change what is tested into
// something nobody else gets.
func gomodProblems(t *tree) []string {
	var out []string
	for i, line := range strings.Split(string(t.texts["go.mod"]), "\n") {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "replace" || word == "exclude" {
			out = append(out, fmt.Sprintf("go.mod:%d: %s works only for who builds here: nobody could import the library", i+1, word))
		}
	}
	return out
}

func TestGoModNoReplace(t *testing.T) {
	tr := theHouse(t)
	if len(modules(string(tr.texts["go.mod"]))) == 0 {
		t.Error("no requirement was found in go.mod: has its form changed?")
	}
	report(t, gomodProblems(tr))
}

func TestGoModNoReplaceCanFail(t *testing.T) {
	tr := tiny(t, "go.mod", "module weir\n\nrequire (\n\texample.com/a v1.0.0\n\texample.com/a/b v1.0.0 // indirect\n\texample.com/c v1.0.0 // indirect\n)\nrequire example.com/d v1.0.0\n\nreplace example.com/a => ../a\nexclude (\n)\n",
		"a.go", "package a\nimport _ \"example.com/a/b/c\"\n")
	wantProblem(t, gomodProblems(tr), "go.mod:10: replace", "go.mod:11: exclude")
	if got, want := strings.Join(direct(tr), " "), "example.com/a example.com/a/b example.com/d"; got != want {
		t.Errorf("direct dependencies are %s, want %s", got, want)
	}
}
