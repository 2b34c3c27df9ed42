package lint

import (
	"fmt"
	"go/ast"
	"strings"
	"testing"
)

// pure are the packages that are steps from (state, event, now) to effects. Time, ids and randomness are arguments, which is what
// lets tests take microseconds and a whole cluster run from one seed.
var pure = map[string]bool{
	"config":                     true,
	"controller":                 true,
	"broker/partition":           true,
	"broker/partition/memlog":    true,
	"coordinator/group":          true,
	"coordinator/group/assignor": true,
	"coordinator/txn":            true,
}

// wire are the packages that read bytes from outside: no I/O, and no panic that such bytes could reach.
var wire = map[string]bool{
	"protocol":        true,
	"protocol/record": true,
}

// notInPure and notInWire are roots of import paths, each with what to do instead.
var (
	notInPure = map[string]string{
		"net":         "sockets belong to broker",
		"os":          "files belong to wal; text is handed in",
		"syscall":     "system calls belong to wal and broker",
		"sync":        "locks belong to the shell around it",
		"math/rand":   "randomness is an argument",
		"crypto/rand": "randomness is an argument",
		"log":         "return it; the shell logs",
		"unsafe":      "what needs it belongs to wal",
	}
	notInWire = map[string]string{
		"net":     "the wire's bytes come as slices",
		"os":      "the wire's bytes come as slices",
		"syscall": "the wire's bytes come as slices",
		"log":     "return it; the connection logs",
	}
	clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}
)

// bugs are the panics of the wire that no byte from outside can reach: a codec that our own code made up, constant options that a
// library refuses. The list only shrinks: the numbers are exact.
var bugs = map[string]int{
	"protocol/record/compress.go": 1,
	"protocol/record/zstd.go":     2,
}

// pureProblems holds the lists above.
func pureProblems(t *tree, bugs map[string]int) []string {
	var out []string
	seen := map[string]int{}
	for _, f := range t.files {
		if f.test() || !f.module {
			continue
		}
		switch {
		case pure[f.dir()]:
			out = append(out, bannedImports(f, "is pure", notInPure)...)
			for _, sel := range f.calls("time", clock...) {
				out = append(out, fmt.Sprintf("%s: %s is pure and must not call time.%s: the time is an argument", t.at(sel.Pos()), f.dir(), sel.Sel.Name))
			}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if g, ok := n.(*ast.GoStmt); ok {
					out = append(out, fmt.Sprintf("%s: %s is pure and must not start a goroutine: return an effect", t.at(g.Pos()), f.dir()))
				}
				return true
			})
		case wire[f.dir()]:
			out = append(out, bannedImports(f, "does no I/O", notInWire)...)
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if c, ok := n.(*ast.CallExpr); ok {
					if id, ok := c.Fun.(*ast.Ident); ok && id.Name == "panic" {
						if seen[f.path]++; seen[f.path] <= bugs[f.path] {
							return true
						}
						out = append(out, fmt.Sprintf("%s: %s must not panic: return an error that wraps ErrMalformed", t.at(c.Pos()), f.dir()))
					}
				}
				return true
			})
		}
	}
	for p, n := range bugs {
		if seen[p] < n {
			out = append(out, fmt.Sprintf("%s: it has %d panics, its exemption is %d: lower it", p, seen[p], n))
		}
	}
	return out
}

// bannedImports finds imports of f at or below one of the banned roots.
func bannedImports(f *file, what string, banned map[string]string) []string {
	var out []string
	for p := range f.imports() {
		for root, instead := range banned {
			if p == root || strings.HasPrefix(p, root+"/") {
				out = append(out, fmt.Sprintf("%s: %s %s and must not import %s: %s", f.path, f.dir(), what, p, instead))
			}
		}
	}
	return out
}

func TestPure(t *testing.T) {
	report(t, pureProblems(theHouse(t), bugs))
}

func TestPureCanFail(t *testing.T) {
	wantProblem(t, pureProblems(tiny(t,
		"controller/a.go", `package controller
import (
	clk "time"
	"sync/atomic"
)
var n atomic.Int64
func f() {
	_ = clk.Now()
	go f()
	var d clk.Duration
	_ = d
}
`,
		"controller/a_test.go", "package controller\nimport _ \"os\"\n",
		"protocol/record/a.go", "package record\nimport _ \"log/slog\"\nfunc f() { panic(1) }\n",
		"broker/a.go", "package broker\nimport _ \"net\"\nfunc f() { go f(); panic(1) }\n",
		"protocol/b.go", "package protocol\nfunc f() {\npanic(1)\n}\n",
	), map[string]int{"protocol/b.go": 1, "protocol/c.go": 1}),
		"controller is pure and must not import sync/atomic",
		"controller/a.go:8: controller is pure and must not call time.Now",
		"controller/a.go:9: controller is pure and must not start a goroutine",
		"protocol/c.go: it has 0 panics, its exemption is 1",
		"protocol/record does no I/O and must not import log/slog",
		"protocol/record/a.go:3: protocol/record must not panic",
	)
}
