package protocol

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var update = flag.Bool("update", false, "write layouts.go and layouts_response.go anew")

// TestLayouts reads kmsg's own decoders and compares what they read with layouts.go and layouts_response.go; with -update it writes those files. So the
// table cannot fall behind the codecs.
func TestLayouts(t *testing.T) {
	pkg, err := build.Import("github.com/twmb/franz-go/pkg/kmsg", ".", build.FindOnly)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(pkg.Dir, "generated.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	decoders := map[string]*ast.FuncDecl{}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "readFrom" {
			decoders[f.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name] = f
		}
	}
	compareLayouts(t, decoders, "layouts.go", "layoutTexts", "request", func(key int16) any { return kmsg.RequestForKey(key) })
	compareLayouts(t, decoders, "layouts_response.go", "responseTexts", "response", func(key int16) any { return kmsg.ResponseForKey(key) })
}

// compareLayouts compares one of the two files, or writes it.
func compareLayouts(t *testing.T, decoders map[string]*ast.FuncDecl, name, variable, what string, message func(key int16) any) {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "package protocol\n\n// %s says how each %s lies on the wire, in the words of parseLayout. It is written by\n"+
		"// go test -run TestLayouts -update, from kmsg's decoders.\nvar %s = [...]string{\n", variable, what, variable)
	for _, a := range APIs {
		typ := reflect.TypeOf(message(a.Key)).Elem()
		text := layoutFields(decoders[typ.Name()].Body.List, typ)
		fmt.Fprintf(&b, "%d: %s, // %s\n", a.Key, chunked(text), a.Name)
	}
	b.WriteString("}\n")
	want, err := format.Source(b.Bytes())
	if err != nil {
		t.Fatalf("%v\n%s", err, b.Bytes())
	}
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := os.ReadFile(name)
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what kmsg decodes; run go test -run TestLayouts -update", name)
	}
}

// chunked quotes a text, in several lines where it is long.
func chunked(s string) string {
	var parts []string
	for len(s) > 110 {
		at := strings.LastIndexByte(s[:110], ' ') + 1
		parts = append(parts, strconv.Quote(s[:at]))
		s = s[at:]
	}
	return strings.Join(append(parts, strconv.Quote(s)), " +\n")
}

// layoutFields turns the statements of a struct's decoder into words.
func layoutFields(stmts []ast.Stmt, typ reflect.Type) string {
	var words, tags []string
	for _, s := range stmts {
		switch s := s.(type) {
		case *ast.BlockStmt:
			words = append(words, layoutField(s.List, typ, "")...)
		case *ast.IfStmt:
			cond := source(s.Cond)
			switch {
			case strings.HasPrefix(cond, "version"):
				words = append(words, layoutField(s.Body.List, typ, versions(cond))...)
			case cond == "isFlexible":
				tags = append(tags, layoutTags(s.Body.List[0], typ)...)
			}
		}
	}
	return strings.Join(append(words, tags...), " ")
}

func layoutTags(s ast.Stmt, typ reflect.Type) (tags []string) {
	loop, ok := s.(*ast.ForStmt)
	if !ok {
		return nil
	}
	for _, c := range loop.Body.List[0].(*ast.SwitchStmt).Body.List {
		if c := c.(*ast.CaseClause); c.List != nil {
			word := layoutField(c.Body[1:len(c.Body)-1], typ, "")
			tags = append(tags, "#"+source(c.List[0]), word[0])
		}
	}
	return tags
}

// layoutField turns the statements of one field into a word, or two where kmsg reads it in two ways.
func layoutField(stmts []ast.Stmt, typ reflect.Type, versions string) []string {
	name := ""
	var reads []string
	var loop *ast.ForStmt
	var inner *ast.IfStmt
	null := ""
	for _, s := range stmts {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if l := source(s.Lhs[0]); strings.HasPrefix(l, "s.") {
				name = l[2:]
			}
			if r := source(s.Rhs[0]); strings.HasPrefix(r, "&s.") {
				return []string{"{ " + layoutFields(stmts[1:], fieldType(typ, r[3:])) + " }" + versions}
			}
		case *ast.ForStmt:
			loop = s
		case *ast.IfStmt:
			inner = s
			if c := source(s.Cond); c == "l == 0" {
				null = "?"
			} else if strings.HasSuffix(c, "|| l == 0") {
				null = "?" + strings.Fields(c)[2]
			} else if strings.HasPrefix(c, "present") {
				return []string{"?{ " + layoutPresent(s.Body.List, typ) + " }" + versions}
			}
		}
		if loop == nil {
			reads = append(reads, readers(s)...)
		}
	}
	if loop != nil {
		return []string{layoutArray(loop, fieldType(typ, name), null) + versions}
	}
	if inner != nil && strings.HasPrefix(source(inner.Cond), "version < ") && versions == "" {
		n, _ := strconv.Atoi(strings.Fields(source(inner.Cond))[2])
		return []string{fmt.Sprintf("s:0-%d", n-1), fmt.Sprintf("S:%d+", n)}
	}
	return []string{readerWord(reads) + versions}
}

func layoutPresent(stmts []ast.Stmt, typ reflect.Type) string {
	for i, s := range stmts {
		if a, ok := s.(*ast.AssignStmt); ok && strings.HasPrefix(source(a.Lhs[0]), "s.") {
			return layoutFields(stmts[i+1:], fieldType(typ, source(a.Lhs[0])[2:]))
		}
	}
	panic("nullable struct without a type")
}

func layoutArray(loop *ast.ForStmt, typ reflect.Type, null string) string {
	elem := typ.Elem()
	open := fmt.Sprintf("%s[%d ", null, elem.Size())
	if first, ok := loop.Body.List[0].(*ast.AssignStmt); ok && source(first.Rhs[0]) == "&a[i]" {
		return open + layoutFields(loop.Body.List[1:], elem) + " ]"
	}
	// Elements without fields of their own have no tags either.
	return open + "= " + layoutField(loop.Body.List, typ, "")[0] + " ]"
}

// readers are the names of the reader's methods that a statement calls.
func readers(s ast.Stmt) (names []string) {
	ast.Inspect(s, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			if f, ok := c.Fun.(*ast.SelectorExpr); ok && source(f.X) == "b" {
				names = append(names, strings.ReplaceAll(strings.ReplaceAll(f.Sel.Name, "Unsafe", ""), "Compact", ""))
			}
		}
		return true
	})
	return names
}

func readerWord(names []string) string {
	words := map[string]string{"Bool": "1", "Int8": "1", "Int16": "2", "Uint16": "2", "Int32": "4", "Int64": "8", "Float64": "8",
		"Uuid": "16", "String": "s", "NullableString": "S", "Bytes": "b", "NullableBytes": "B"}
	for _, n := range names {
		if n != names[0] {
			panic(fmt.Sprint("mixed readers ", names))
		}
	}
	w, ok := words[names[0]]
	if !ok {
		panic("no word for " + names[0])
	}
	return w
}

// versions turns a condition into a range.
func versions(cond string) string {
	f := strings.Fields(cond)
	switch {
	case len(f) == 3 && f[1] == ">=":
		return ":" + f[2] + "+"
	case len(f) == 7 && f[1] == ">=" && f[5] == "<=":
		return ":" + f[2] + "-" + f[6]
	}
	panic("no range in " + cond)
}

func fieldType(typ reflect.Type, name string) reflect.Type {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	f, ok := typ.FieldByName(name)
	if !ok {
		panic(fmt.Sprint("no field ", name, " in ", typ))
	}
	if f.Type.Kind() == reflect.Pointer {
		return f.Type.Elem()
	}
	return f.Type
}

func source(n ast.Node) string {
	var b bytes.Buffer
	if err := format.Node(&b, token.NewFileSet(), n); err != nil {
		panic(err)
	}
	return b.String()
}
