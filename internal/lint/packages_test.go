package lint

import (
	"fmt"
	"path"
	"strings"
	"testing"
)

// noPackage are names that say nothing of the domain. What would be in such a package belongs to the lowest package that needs it.
var noPackage = map[string]bool{
	"util": true, "utils": true, "common": true, "helper": true, "helpers": true, "types": true, "models": true,
	"structs": true, "misc": true, "shared": true, "base": true,
}

// packageProblems wants exactly one package comment a package, in doc.go or, for a command, in main.go.
func packageProblems(t *tree) []string {
	var out []string
	comments := map[string][]string{}
	packages := map[string]bool{}
	for _, f := range t.files {
		dir := f.dir()
		if !packages[dir] && noPackage[path.Base(dir)] {
			out = append(out, fmt.Sprintf("package %s: the name says nothing; name the thing it is about", dir))
		}
		packages[dir] = true
		if f.ast.Doc == nil || f.generated() {
			continue
		}
		comments[dir] = append(comments[dir], f.base())
		if text, want := f.ast.Doc.Text(), wantComment(f); f.base() != "doc.go" && f.base() != "main.go" {
			out = append(out, fmt.Sprintf("%s: a package comment belongs in doc.go (or main.go of a command)", f.path))
		} else if !strings.HasPrefix(text, want) {
			out = append(out, fmt.Sprintf("%s: the package comment begins with %q", f.path, want))
		}
	}
	for dir := range packages {
		if n := len(comments[dir]); n != 1 {
			out = append(out, fmt.Sprintf("package %s has %d package comments, want one: what is it, what is it not, where to start reading", dir, n))
		}
	}
	return out
}

// wantComment is how a package comment begins, by Go's convention.
func wantComment(f *file) string {
	if f.ast.Name.Name == "main" {
		return "Command "
	}
	return "Package " + f.ast.Name.Name + " "
}

func TestPackageDocs(t *testing.T) {
	report(t, packageProblems(theHouse(t)))
}

func TestPackageDocsCanFail(t *testing.T) {
	wantProblem(t, packageProblems(tiny(t,
		"wal/doc.go", "// Package wal is a log.\npackage wal\n",
		"wal/a.go", "package wal\n",
		"cmd/x/main.go", "// Command x is one.\npackage main\n",
		"none/a.go", "package none\n",
		"two/doc.go", "// Package two is one.\npackage two\n",
		"two/a.go", "// Package two is another.\npackage two\n",
		"odd/doc.go", "// It has a comment.\npackage odd\n",
		"broker/util/doc.go", "// Package util is useful.\npackage util\n",
	)),
		"odd/doc.go: the package comment begins with",
		"package broker/util: the name says nothing",
		"package none has 0 package comments",
		"package two has 2 package comments",
		"two/a.go: a package comment belongs in doc.go",
	)
}
