package lint

import (
	"fmt"
	"go/ast"
	"strings"
	"testing"
)

// mayWait are folders whose tests talk to programs of others, which tell nobody when they are ready.
var mayWait = []string{"compat-tests/", "bench/"}

// sleepProblems forbids time.Sleep in tests: it is either too short on a slow machine or too long on every other. In a bubble of
// testing/synctest it takes no time and is allowed, in the function that is handed to synctest.Test itself.
func sleepProblems(t *tree) []string {
	var out []string
	for _, f := range t.files {
		if !f.test() || hasAnyPrefix(f.path, mayWait) {
			continue
		}
		bubbles := f.bubbles()
		for _, sel := range f.calls("time", "Sleep") {
			inside := false
			for _, b := range bubbles {
				inside = inside || b.Pos() <= sel.Pos() && sel.Pos() < b.End()
			}
			if !inside {
				out = append(out, t.at(sel.Pos())+": time.Sleep in a test outside synctest.Test: wait for the event itself")
			}
		}
	}
	return out
}

// bubbles are the functions of f that run in a synctest bubble.
func (f *file) bubbles() []ast.Node {
	local, ok := f.imports()["testing/synctest"]
	if !ok {
		return nil
	}
	var out []ast.Node
	ast.Inspect(f.ast, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if sel, ok := c.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Test" {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == local {
				for _, a := range c.Args {
					out = append(out, a)
				}
			}
		}
		return true
	})
	return out
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

func TestNoSleep(t *testing.T) {
	report(t, sleepProblems(theHouse(t)))
}

func TestNoSleepCanFail(t *testing.T) {
	const src = `package %s
import (
	"testing"
	"testing/synctest"
	"time"
)
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { time.Sleep(time.Hour) })
}
func TestReal(t *testing.T) {
	time.Sleep(time.Millisecond)
}
`
	wantProblem(t, sleepProblems(tiny(t,
		"wal/a_test.go", fmt.Sprintf(src, "wal"),
		"wal/a.go", fmt.Sprintf(src, "wal"),
		"compat-tests/a_test.go", fmt.Sprintf(src, "compat"),
	)),
		"wal/a_test.go:11: time.Sleep in a test")
}
