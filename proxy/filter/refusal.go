package filter

import (
	"reflect"

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

// pairs are lists of a response that go by another name in the request.
var pairs = map[string]string{
	"Coordinators": "CoordinatorKeys", "Transactions": "TransactionalIDs", "TransactionStates": "TransactionalIDs", "Responses": "Resources", "Results": "Users",
	"Members": "MemberIDs", "Updates": "FeatureUpdates", "Entries": "Entries", "OwnedTopics": "Topics",
}

func (m mirror) structure(from, to reflect.Value) {
	for i := range to.NumField() {
		f, name := to.Field(i), to.Type().Field(i).Name
		switch {
		case name == "ErrorCode":
			f.SetInt(int64(m.code))
		case name == "ErrorMessage" && f.Kind() == reflect.Pointer && m.why != "":
			f.Set(reflect.ValueOf(&m.why))
		case name == "Version" || name == "UnknownTags" || name == "ThrottleMillis":
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			m.list(from, f, name)
		default:
			if g := field(from, name); g.IsValid() && g.Type() == f.Type() {
				f.Set(g)
			}
		}
	}
}

// list answers each element of the request's list.
func (m mirror) list(from, to reflect.Value, name string) {
	g := field(from, name)
	if !g.IsValid() {
		g = field(from, pairs[name])
	}
	if !g.IsValid() || g.Kind() != reflect.Slice {
		return
	}
	if hasDefault(to.Type().Elem(), "ErrorCode") == 0 {
		return // nothing in it could say the code
	}
	for i := range g.Len() {
		e := reflect.New(to.Type().Elem())
		if d, ok := e.Interface().(interface{ Default() }); ok {
			d.Default()
		}
		m.element(g.Index(i), e.Elem())
		to.Set(reflect.Append(to, e.Elem()))
	}
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
		case name == "ErrorMessage" && f.Kind() == reflect.Pointer && m.why != "":
			f.Set(reflect.ValueOf(&m.why))
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

// hasDefault counts the fields of a name in a type and what is in its lists.
func hasDefault(t reflect.Type, name string) (n int) {
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
			n += hasDefault(f.Type, name)
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
