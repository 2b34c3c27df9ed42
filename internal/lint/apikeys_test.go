package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"

	"weir/protocol"
)

// row is one row of broker/api.Table as its source says it.
type row struct {
	key     int16
	handler string // the name of the function behind handle(...)
	at      string
}

// tableRows reads the rows of Table from the source of broker/api, so that the rules hold while the package does not compile.
func tableRows(t *tree) (rows []row, problems []string) {
	for _, f := range t.files {
		if f.dir() != "broker/api" || f.test() {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || len(v.Names) != 1 || v.Names[0].Name != "Table" || len(v.Values) != 1 {
				return true
			}
			lit, ok := v.Values[0].(*ast.CompositeLit)
			if !ok {
				problems = append(problems, t.at(v.Pos())+": Table is not a literal: rows belong in it, not in code")
				return false
			}
			for _, e := range lit.Elts {
				if r, ok := readRow(e); ok {
					r.at = t.at(e.Pos())
					rows = append(rows, r)
				} else {
					problems = append(problems, t.at(e.Pos())+": a row of Table is {key, handle(function)} with the key as a number")
				}
			}
			return false
		})
	}
	return rows, problems
}

// readRow reads {0, handle(produce)}, {Key: 0, Handle: handle((*Server).produce)} or {0, produce}.
func readRow(e ast.Expr) (row, bool) {
	lit, ok := e.(*ast.CompositeLit)
	if !ok || len(lit.Elts) != 2 {
		return row{}, false
	}
	val := func(e ast.Expr) ast.Expr {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			return kv.Value
		}
		return e
	}
	num, ok := val(lit.Elts[0]).(*ast.BasicLit)
	if !ok || num.Kind != token.INT {
		return row{}, false
	}
	key, err := strconv.ParseInt(num.Value, 10, 16)
	if err != nil {
		return row{}, false
	}
	h := val(lit.Elts[1])
	if call, ok := h.(*ast.CallExpr); ok && len(call.Args) == 1 {
		h = call.Args[0]
	}
	switch x := h.(type) {
	case *ast.Ident:
		return row{key: int16(key), handler: x.Name}, true
	case *ast.SelectorExpr:
		return row{key: int16(key), handler: x.Sel.Name}, true
	}
	return row{}, false
}

// snake is Kafka's name of a key as a file name: DescribeTopicPartitions is describe_topic_partitions.
func snake(name string) string {
	return strings.ToLower(regexp.MustCompile(`([a-z0-9])([A-Z])`).ReplaceAllString(name, "${1}_${2}"))
}

// apiProblems ties together the files broker/api/NN_name.go, the rows of Table and the keys of Kafka.
func apiProblems(t *tree, apis []protocol.API) []string {
	rows, out := tableRows(t)
	names := map[int16]protocol.API{}
	for _, a := range apis {
		names[a.Key] = a
	}
	handlers := map[int16]*file{}
	for _, f := range t.files {
		m := handlerFile.FindStringSubmatch(f.path)
		if m == nil || f.test() {
			continue
		}
		n, _ := strconv.Atoi(m[1])
		a, ok := names[int16(n)]
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("%s: Kafka has no key %d", f.path, n))
		case snake(a.Name) != m[2]:
			out = append(out, fmt.Sprintf("%s: key %d is %s: the file is %02d_%s.go", f.path, n, a.Name, n, snake(a.Name)))
		default:
			handlers[a.Key] = f
			out = append(out, headerProblems(f, a)...)
		}
	}
	if !sort.SliceIsSorted(rows, func(i, j int) bool { return rows[i].key < rows[j].key }) {
		out = append(out, "broker/api.Table is not sorted by key")
	}
	seen := map[int16]bool{}
	for _, r := range rows {
		a, known := names[r.key]
		f := handlers[r.key]
		switch {
		case seen[r.key]:
			out = append(out, fmt.Sprintf("%s: key %d has two rows", r.at, r.key))
		case !known:
			out = append(out, fmt.Sprintf("%s: Kafka has no key %d", r.at, r.key))
		case f == nil:
			out = append(out, fmt.Sprintf("%s: key %d has no file broker/api/%02d_%s.go", r.at, r.key, r.key, snake(a.Name)))
		case !declares(f, r.handler):
			out = append(out, fmt.Sprintf("%s: the handler %s of key %d is not in %s", r.at, r.handler, r.key, f.path))
		}
		seen[r.key] = true
	}
	for key, f := range handlers {
		if !seen[key] {
			out = append(out, fmt.Sprintf("%s: key %d is not in Table: a handler that nobody can call", f.path, key))
		}
	}
	return out
}

// declares says whether f declares the function or method name.
func declares(f *file, name string) bool {
	for _, d := range f.ast.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == name {
			return true
		}
	}
	return false
}

// refused are the words of a header comment whose handler serves fewer versions than are advertised.
const refused = "advertised and refused"

// headerProblems wants the header comment of a handler: its key, its versions as they are advertised, and its differences.
func headerProblems(f *file, a protocol.API) []string {
	head := regexp.MustCompile(fmt.Sprintf(`%s \(%d\), v([0-9]+)(?:-([0-9]+))?\.`, a.Name, a.Key))
	for _, c := range f.ast.Comments {
		text := strings.Join(strings.Fields(c.Text()), " ")
		m := head.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		var out []string
		low, high := m[1], m[2]
		if high == "" {
			high = low
		}
		if fmt.Sprint(a.Max) != high || fmt.Sprint(a.Min) != low && !strings.Contains(text, refused) {
			out = append(out, fmt.Sprintf("%s: its header comment says %q, advertised are %s", f.path, m[0], versions(a)))
		}
		if len(differs(c.Text())) == 0 {
			out = append(out, fmt.Sprintf("%s: its header comment has no line %q: write what differs, or \"nothing known.\"", f.path, differsMark))
		}
		return out
	}
	return []string{fmt.Sprintf("%s: no comment says \"%s (%d), v%d-%d.\"", f.path, a.Name, a.Key, a.Min, a.Max)}
}

func TestOneFilePerAPIKey(t *testing.T) {
	report(t, apiProblems(theHouse(t), protocol.APIs))
}

func TestOneFilePerAPIKeyCanFail(t *testing.T) {
	apis := []protocol.API{{Key: 0, Name: "Produce", Min: 0, Max: 13}, {Key: 3, Name: "Metadata", Max: 13}, {Key: 75, Name: "DescribeTopicPartitions"}, {Key: 12, Name: "Heartbeat", Max: 4}}
	const table = "package api\nvar Table = []Row{\n%s\n}\n"
	good := []string{
		"broker/api/00_produce.go", "package api\n\n// produce answers Produce (0), v0-13.\n//\n// Differs from Kafka: nothing known.\nfunc (s *Server) produce() {}\n",
		"broker/api/00_produce_test.go", "package api\n",
		"broker/api/75_describe_topic_partitions.go", "package api\n\n// DescribeTopicPartitions (75), v0.\n//\n// Differs from Kafka: a lot.\n\nfunc describe() {}\n",
	}
	with := func(rows string, pairs ...string) []string {
		return apiProblems(tiny(t, append(append([]string{"broker/api/table.go", fmt.Sprintf(table, rows)}, good...), pairs...)...), apis)
	}
	wantProblem(t, with("{0, handle((*Server).produce)},\n{Key: 75, Handle: describe},"))
	wantProblem(t, with("{75, handle(describe)},\n{0, handle(produce)},"), "is not sorted")
	wantProblem(t, with("{0, handle(produce)},\n{0, handle(produce)},\n{75, handle(describe)},"), "key 0 has two rows")
	wantProblem(t, with("{0, handle(produce)},\n{4, handle(leader)},\n{75, handle(describe)},"), "table.go:4: Kafka has no key 4")
	wantProblem(t, with("{0, handle(produce)},"), "75_describe_topic_partitions.go: key 75 is not in Table")
	wantProblem(t, with("{0, handle(fetch)},\n{75, handle(describe)},"), "the handler fetch of key 0 is not in broker/api/00_produce.go")
	wantProblem(t, with("{0, handle(produce)},\n{3, handle(metadata)},\n{75, handle(describe)},"), "key 3 has no file broker/api/03_metadata.go")
	wantProblem(t, with("{0, handle(produce)},\n{75, handle(describe)},\nrow(3),"), "a row of Table is")
	wantProblem(t, with("{0, handle(produce)},\n{3, handle(m)},\n{12, handle(h)},\n{75, handle(describe)},",
		"broker/api/03_metadata.go", "package api\n\n// Metadata (3), v3-13. Versions 0 to 2 are advertised and\n// refused.\n//\n// Differs from Kafka: no.\nfunc m() {}\n",
		"broker/api/12_heartbeat.go", "package api\n\n// Beat (12), v0-4.\n//\n// Differs from Kafka: no.\nfunc h() {}\n"),
		"12_heartbeat.go: no comment says")
	wantProblem(t, with("{0, handle(produce)},\n{75, handle(describe)},", "broker/api/03_meta.go", "package api\n"), "the file is 03_metadata.go")
	wantProblem(t, with("{0, handle(produce)},\n{3, handle(m)},\n{12, handle(h)},\n{75, handle(describe)},",
		"broker/api/03_metadata.go", "package api\n\n// Metadata (3), v0-12.\n//\n// Differs from Kafka: no.\nfunc m() {}\n",
		"broker/api/12_heartbeat.go", "package api\n\n// Heartbeat (12), v0-4.\nfunc h() {}\n"),
		"03_metadata.go: its header comment says \"Metadata (3), v0-12.\", advertised are 0 to 13",
		"12_heartbeat.go: its header comment has no line",
	)
}
