package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

// tree is the source of the house, read and parsed once. Rules are functions from a tree to a list of problems, so that each
// can be broken on a tree of a few lines in memory as well.
type tree struct {
	fs    fs.FS
	set   *token.FileSet
	files []*file
	texts map[string][]byte // every other text file, by path
	dirs  map[string]bool   // every folder, "." is the root
}

// file is one Go file.
type file struct {
	path   string // slash-separated, from the root
	src    []byte
	ast    *ast.File
	module bool // it belongs to the root module, not to one of its own below
}

func (f *file) dir() string  { return path.Dir(f.path) }
func (f *file) base() string { return path.Base(f.path) }
func (f *file) test() bool   { return strings.HasSuffix(f.path, "_test.go") }
func (f *file) lines() int   { return bytes.Count(f.src, []byte("\n")) }

// generated says whether a tool wrote the file, by Go's own convention.
func (f *file) generated() bool { return ast.IsGenerated(f.ast) }

// skipped are folders that are no source: what is built, data of a broker that ran here, corpora of fuzz targets.
func skipped(p string) bool {
	base := path.Base(p)
	return base == "testdata" || p == "bin" || p == "data" || (strings.HasPrefix(base, ".") && p != "." && p != ".ci")
}

// readTree reads everything below root.
func readTree(root fs.FS) (*tree, error) {
	t := &tree{fs: root, set: token.NewFileSet(), texts: map[string][]byte{}, dirs: map[string]bool{}}
	var modules []string
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipped(p) {
				return fs.SkipDir
			}
			t.dirs[p] = true
			return nil
		}
		if !d.Type().IsRegular() || p == ".git" { // a file in a linked work tree
			return nil
		}
		src, err := fs.ReadFile(root, p)
		if err != nil {
			return err
		}
		if path.Base(p) == "go.mod" && p != "go.mod" {
			modules = append(modules, path.Dir(p)+"/")
		}
		if path.Ext(p) != ".go" {
			if bytes.IndexByte(src, 0) < 0 {
				t.texts[p] = src
			}
			return nil
		}
		parsed, err := parser.ParseFile(t.set, p, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		t.files = append(t.files, &file{path: p, src: src, ast: parsed, module: true})
		return nil
	})
	for _, f := range t.files {
		for _, m := range modules {
			if strings.HasPrefix(f.path, m) {
				f.module = false
			}
		}
	}
	return t, err
}

var house = sync.OnceValues(func() (*tree, error) { return readTree(os.DirFS("../..")) })

// theHouse is the tree this test is part of.
func theHouse(t *testing.T) *tree {
	t.Helper()
	tr, err := house()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// tiny makes a tree of pairs of path and content.
func tiny(t *testing.T, pairs ...string) *tree {
	t.Helper()
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	tr, err := readTree(m)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// report fails t with each problem, sorted.
func report(t *testing.T, problems []string) {
	t.Helper()
	sort.Strings(problems)
	for _, p := range problems {
		t.Error(p)
	}
}

// wantProblem proves that a rule can fail: exactly one of its problems is expected for each of want, which is a part of its text.
func wantProblem(t *testing.T, problems []string, want ...string) {
	t.Helper()
	if len(problems) != len(want) {
		t.Fatalf("got %d problems, want %d:\n%s", len(problems), len(want), strings.Join(problems, "\n"))
	}
	sort.Strings(problems)
	for i, w := range want {
		if !strings.Contains(problems[i], w) {
			t.Errorf("problem %d is %q, want it to say %q", i, problems[i], w)
		}
	}
}

// at is where in the source a problem is.
func (t *tree) at(pos token.Pos) string {
	p := t.set.Position(pos)
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// imports are the paths that f imports, with the name each has in f.
func (f *file) imports() map[string]string {
	m := map[string]string{}
	for _, s := range f.ast.Imports {
		p, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(p)
		if strings.HasPrefix(name, "v") && strings.Trim(name[1:], "0123456789") == "" {
			name = path.Base(path.Dir(p))
		}
		if s.Name != nil {
			name = s.Name.Name
		}
		m[p] = name
	}
	return m
}

// calls finds each use of pkg.name in f for the names, under whatever name f imports pkg.
func (f *file) calls(pkg string, names ...string) []*ast.SelectorExpr {
	local, ok := f.imports()[pkg]
	if !ok {
		return nil
	}
	var found []*ast.SelectorExpr
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == local {
			for _, name := range names {
				if sel.Sel.Name == name {
					found = append(found, sel)
				}
			}
		}
		return true
	})
	return found
}
