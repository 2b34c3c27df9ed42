package filter

import (
	"reflect"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// Refusal makes the response that refuses a request as a whole: everything that the request names comes back with the code. A response
// and its request have the same names for the same things, so this goes by names: what is a list in both is answered element by
// element, and what is a value in both is copied. A test looks at every key.
func Refusal(req kmsg.Request, code protocol.Code, why string) kmsg.Response {
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	from, to := reflect.ValueOf(req).Elem(), reflect.ValueOf(resp).Elem()
	m := mirror{code: int16(code), why: why}
	m.structure(from, to)
	return resp
}

type mirror struct {
	code int16
	why  string
}

// pairs are lists of a response whose elements go by another name in the request, or lie one deeper.
var pairs = map[string][]string{
	"Coordinators": {"CoordinatorKeys"}, "TransactionStates": {"TransactionalIDs"}, "Groups": {"GroupIDs"}, "Members": {"MemberIDs"},
	"Results": {"Creations", "Filters", "Users", "FeatureUpdates", "Deletions", "Upsertions"}, "Topics": {"Dirs.Topics"},
}

// names are values of a response that go by another name in the request.
var names = map[string]string{"User": "Name"}

func (m mirror) structure(from, to reflect.Value) {
	for i := range to.NumField() {
		f, name := to.Field(i), to.Type().Field(i).Name
		switch {
		case name == "ErrorCode":
			f.SetInt(int64(m.code))
		case name == "ErrorMessage" && f.Kind() == reflect.Pointer && m.why != "":
			f.Set(reflect.ValueOf(&m.why))
		case name == "Version" || name == "UnknownTags" || name == "ThrottleMillis":
		case f.Type() == reflect.TypeFor[[]byte](): // the request's are gone soon, and are nobody's name
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			m.list(from, f, name)
		default:
			g := field(from, name)
			if !g.IsValid() {
				g = field(from, names[name])
			}
			if g.IsValid() && g.Type() == f.Type() {
				f.Set(g)
			}
		}
	}
}

// list answers each element of the request's lists.
func (m mirror) list(from, to reflect.Value, name string) {
	if count(to.Type().Elem(), "ErrorCode") == 0 {
		return // nothing in it could say the code
	}
	for _, path := range append([]string{name}, pairs[name]...) {
		for _, g := range find(from, path) {
			for i := range g.Len() {
				m.add(to, g.Index(i))
			}
		}
	}
	// DescribeLogDirs has no other place before version 3.
	if name == "Dirs" && to.Len() == 0 {
		m.add(to, reflect.New(to.Type().Elem()).Elem())
	}
}

// add answers one element and adds it to a list.
func (m mirror) add(to, from reflect.Value) {
	e := reflect.New(to.Type().Elem())
	if d, ok := e.Interface().(interface{ Default() }); ok {
		d.Default()
	}
	m.element(from, e.Elem())
	to.Set(reflect.Append(to, e.Elem()))
}

// find returns the lists at a path, of which each step may be a list.
func find(v reflect.Value, path string) (lists []reflect.Value) {
	name, rest, deeper := strings.Cut(path, ".")
	f := field(v, name)
	if !f.IsValid() || f.Kind() != reflect.Slice {
		return nil
	}
	if !deeper {
		return []reflect.Value{f}
	}
	for i := range f.Len() {
		lists = append(lists, find(f.Index(i), rest)...)
	}
	return lists
}

// element answers one element: a structure, or a value that is the name of what is answered.
func (m mirror) element(from, to reflect.Value) {
	if from.Kind() == reflect.Struct {
		m.structure(from, to)
		return
	}
	named := false
	for i := range to.NumField() {
		f := to.Field(i)
		switch name := to.Type().Field(i).Name; {
		case name == "ErrorCode":
			f.SetInt(int64(m.code))
		case name == "ErrorMessage":
			if f.Kind() == reflect.Pointer && m.why != "" {
				f.Set(reflect.ValueOf(&m.why))
			}
		case !named && f.Type() == from.Type():
			f.Set(from)
			named = true
		case !named && f.Kind() == reflect.Pointer && f.Type().Elem() == from.Type():
			p := reflect.New(from.Type())
			p.Elem().Set(from)
			f.Set(p)
			named = true
		}
	}
}

// field finds a field, the zero Value where there is none.
func field(v reflect.Value, name string) reflect.Value {
	if v.Kind() != reflect.Struct || name == "" {
		return reflect.Value{}
	}
	return v.FieldByName(name)
}

// count counts the fields of a name in a type and what is in its lists.
func count(t reflect.Type, name string) (n int) {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return 0
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Name == name {
			n++
		} else {
			n += count(f.Type, name)
		}
	}
	return n
}

// Spoil makes every outcome in a response an error.
func Spoil(resp kmsg.Response, code protocol.Code) { spoil(reflect.ValueOf(resp).Elem(), int64(code)) }

func spoil(v reflect.Value, code int64) {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			spoil(v.Index(i), code)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); v.Type().Field(i).Name == "ErrorCode" {
				f.SetInt(code)
			} else if f.CanSet() {
				spoil(f, code)
			}
		}
	}
}
