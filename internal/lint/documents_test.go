package lint

import (
	"fmt"
	"path"
	"regexp"
	"sort"
	"strings"
	"testing"

	"weir/config"
)

const (
	architecture = "docs/ARCHITECTURE.md"
	libraries    = "docs/decisions/0001-libraries.md"
)

var (
	folderRow  = regexp.MustCompile("(?m)^\\| `([A-Za-z0-9_./-]+)/` \\|")
	fence      = regexp.MustCompile("(?ms)^```.*?^```$")
	codeSpan   = regexp.MustCompile("`([^`\n]+)`")
	link       = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	pathWord   = regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*/?$`)
	makeTarget = regexp.MustCompile(`\bmake ([a-z][a-z0-9-]*)`)
	goPackage  = regexp.MustCompile(`\bgo (?:run|test|build|vet)\b[^\n]*?[ =]\./([a-z0-9/_-]+)`)
)

// folderProblems compares the folder table of docs/ARCHITECTURE.md with the folders there are: one row for each folder at the top
// and for each package.
func folderProblems(t *tree) []string {
	var out []string
	rows := map[string]bool{}
	for _, m := range folderRow.FindAllStringSubmatch(string(t.texts[architecture]), -1) {
		if rows[m[1]] {
			out = append(out, fmt.Sprintf("%s: folder %s has two rows", architecture, m[1]))
		}
		rows[m[1]] = true
		if !t.dirs[m[1]] {
			out = append(out, fmt.Sprintf("%s: folder %s is in the table and not in the tree", architecture, m[1]))
		}
	}
	want := map[string]bool{}
	for _, f := range t.files {
		want[f.dir()] = true
	}
	for dir := range t.dirs {
		if dir != "." && !strings.Contains(dir, "/") && !strings.HasPrefix(dir, ".") && hasFiles(t, dir) {
			want[dir] = true
		}
	}
	for dir := range want {
		if !rows[dir] {
			out = append(out, fmt.Sprintf("%s: folder %s has no row in the table", architecture, dir))
		}
	}
	return out
}

// hasFiles says whether there is a file below dir: version control does not keep empty folders.
func hasFiles(t *tree, dir string) bool {
	for p := range t.texts {
		if strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	for _, f := range t.files {
		if strings.HasPrefix(f.path, dir+"/") {
			return true
		}
	}
	return false
}

// quoteProblems looks up what documents quote: files and folders in code spans, links, targets of make, packages handed to go.
func quoteProblems(t *tree) []string {
	var out []string
	files := map[string]bool{}
	bases := map[string]bool{}
	for _, f := range t.files {
		files[f.path], bases[f.base()] = true, true
	}
	for p := range t.texts {
		files[p], bases[path.Base(p)] = true, true
	}
	exists := func(p string) bool {
		p = strings.TrimSuffix(p, "/")
		return files[p] || t.dirs[p] || skipped(p) && !strings.HasPrefix(p, ".")
	}
	targets := makeTargets(string(t.texts["Makefile"]))
	for doc, src := range t.texts {
		if path.Ext(doc) != ".md" || strings.Contains(doc, "testdata/") {
			continue
		}
		text := string(src)
		prose := fence.ReplaceAllString(text, "")
		for _, m := range link.FindAllStringSubmatch(prose, -1) {
			if !strings.Contains(m[1], "://") && !exists(path.Join(path.Dir(doc), m[1])) {
				out = append(out, fmt.Sprintf("%s: the link to %s leads nowhere", doc, m[1]))
			}
		}
		code := fence.FindAllString(text, -1)
		for _, m := range codeSpan.FindAllStringSubmatch(prose, -1) {
			code = append(code, m[1])
			if p := m[1]; isPath(t, p) && !exists(p) && !(!strings.Contains(p, "/") && bases[p]) {
				out = append(out, fmt.Sprintf("%s: it quotes %s, which does not exist", doc, p))
			}
		}
		for _, c := range code {
			for _, m := range makeTarget.FindAllStringSubmatch(c, -1) {
				if !targets[m[1]] {
					out = append(out, fmt.Sprintf("%s: the Makefile has no target %s", doc, m[1]))
				}
			}
			for _, m := range goPackage.FindAllStringSubmatch(c, -1) {
				if p := strings.TrimSuffix(strings.TrimSuffix(m[1], "..."), "/"); !t.dirs[p] {
					out = append(out, fmt.Sprintf("%s: there is no package ./%s", doc, p))
				}
			}
		}
	}
	sort.Strings(out)
	return out
}

// isPath says whether a code span names a file or folder of the tree: Go and Markdown files, and what begins with a folder at
// the top. NN_name.go stands for many.
func isPath(t *tree, s string) bool {
	if !pathWord.MatchString(s) || strings.Contains(s, "NN") {
		return false
	}
	first, _, nested := strings.Cut(s, "/")
	return path.Ext(s) == ".go" && s != ".go" || path.Ext(s) == ".md" || nested && t.dirs[first] && first != "."
}

// makeTargets are the targets that the text of a Makefile has rules for.
func makeTargets(makefile string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(makefile) {
		names, _, ok := strings.Cut(line, ":")
		if !ok || strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ".") || strings.Contains(names, "=") {
			continue
		}
		for _, n := range strings.Fields(names) {
			out[n] = true
		}
	}
	return out
}

// decisionProblems wants one line in docs/decisions/0001-libraries.md for each module that we import, and no line for another.
func decisionProblems(t *tree) []string {
	var out []string
	text := string(t.texts[libraries])
	lines := map[string]int{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| .*[^ |\n].* \\|$").FindAllStringSubmatch(text, -1) {
		lines[m[1]]++
	}
	want := map[string]bool{}
	for _, p := range direct(t) {
		want[p] = true
		if lines[p] != 1 {
			out = append(out, fmt.Sprintf("%s: %d lines for %s, want one that says why", libraries, lines[p], p))
		}
	}
	for p := range lines {
		if !want[p] {
			out = append(out, fmt.Sprintf("%s: %s has a line and is not used", libraries, p))
		}
	}
	return out
}

// settingProblems looks up the settings in the table of docs/configuration.md.
func settingProblems(t *tree) []string {
	var out []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?`) \\|").FindAllStringSubmatch(string(t.texts["docs/configuration.md"]), -1) {
		for _, m := range codeSpan.FindAllStringSubmatch(row[1], -1) {
			if config.Lookup(config.BrokerScope, m[1]) == nil && config.Lookup(config.TopicScope, m[1]) == nil {
				out = append(out, fmt.Sprintf("docs/configuration.md: there is no setting %s", m[1]))
			}
		}
	}
	return out
}

func TestDocs(t *testing.T) {
	tr := theHouse(t)
	report(t, settingProblems(tr))
	report(t, folderProblems(tr))
	report(t, quoteProblems(tr))
	report(t, decisionProblems(tr))
}

func TestDocsCanFail(t *testing.T) {
	tr := tiny(t,
		architecture, "| `wal/` | a log |\n| `gone/` | not there |\n",
		libraries, "| `example.com/a` | why |\n| `example.com/c` | nobody asks |\n| `example.com/b` |  |\n",
		"go.mod", "module weir\nrequire (\nexample.com/a v1.0.0\nexample.com/b v1.0.0\nexample.com/c v1.0.0 // indirect\n)\n",
		"wal/a.go", "package wal\nimport _ \"example.com/a\"\n",
		"wal/vfs/b.go", "package vfs\n",
		"deploy/Dockerfile", "FROM scratch\n",
		"Makefile", ".PHONY: run\nGO := go\nrun test: bin\n\tgo run nothing: here\n",
		"README.md", "`wal/a.go`, `a.go`, `wal/vfs/`, `wal/gone.go`, `gone.go`, `broker/api/NN_name.go`, `server.properties`, `./data`,\n"+
			"`make run`, `make it`, [a](docs/ARCHITECTURE.md#x), [b](docs/gone.md), [c](https://example.com/x)\n\n```\nmake test\nmake haste\ngo test -race ./wal/... && go run ./cmd/gone\n```\n",
	)
	wantProblem(t, folderProblems(tr),
		"folder deploy has no row",
		"folder docs has no row",
		"folder gone is in the table and not in the tree",
		"folder wal/vfs has no row")
	wantProblem(t, quoteProblems(tr),
		"it quotes gone.go,",
		"it quotes wal/gone.go,",
		"the Makefile has no target haste",
		"the Makefile has no target it",
		"the link to docs/gone.md leads nowhere",
		"there is no package ./cmd/gone")
	wantProblem(t, settingProblems(tiny(t, "docs/configuration.md", "| `listeners`, `log.retention.hours` | x |\n| `flush.messages`, `no.such` | `y` |\n")),
		"there is no setting no.such")
	wantProblem(t, decisionProblems(tr),
		"0 lines for example.com/b",
		"example.com/c has a line and is not used")
}
