package protocol

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A request, and a response that comes from elsewhere, is walked by its layout before kmsg decodes it. kmsg believes an array length as long as so many bytes are left, and
// makes elements of up to 200 bytes for each of them; it believes any number of tagged fields. The walk finds every length that
// lies, without allocating, and adds up what the decoder is going to allocate.
//
// The bound: a body of n bytes is refused when its decoding would allocate more than decodeFactor*n + decodeFloor bytes. The
// densest requests of real clients (Metadata by one-letter names) need 16 times their size.
const (
	decodeFactor = 16
	decodeFloor  = 64 << 10
)

// MaxDecoded is the other bound, for a request of any size. Records and other bytes are not counted, as they stay in the frame. It
// lets a fetch request name 180,000 partitions, which is many times what one broker leads.
const MaxDecoded = 16 << 20

// What the decoder allocates for a struct's unknown tagged fields: a map, and more from the ninth entry on.
const (
	tagMapCost = 320
	tagCost    = 160
)

type wireKind uint8

const (
	wireFixed  wireKind = iota // width bytes
	wireString                 // length of 16 bits, compact: uvarint + 1
	wireBytes                  // length of 32 bits, compact: uvarint + 1
	wireArray                  // the same, elements of layout elem, each size bytes in memory
	wireStruct
)

// wireField is one field in the order of the wire.
type wireField struct {
	kind     wireKind
	width    uint8
	min, max int16 // versions that have it
	nullFrom int16 // first version in which it may be null
	tag      uint32
	size     int32
	elem     *layout
}

// layout is a struct on the wire.
type layout struct {
	fields []wireField
	tagged []wireField
	bare   bool // the only field of an array of primitives: no tagged fields follow
}

var (
	layouts         = parseLayouts(layoutTexts[:])
	responseLayouts = parseLayouts(responseTexts[:])
)

func parseLayouts(texts []string) []*layout {
	all := make([]*layout, len(texts))
	for key, text := range texts {
		if text != "" || facts[key].api != 0 {
			words := strings.Fields(text)
			all[key] = parseLayout(&words)
		}
	}
	return all
}

// parseLayout reads words up to the end of a struct. A word is one of
//
//	1 2 4 8 16   so many bytes
//	s S b B      a string, bytes; capitals may be null
//	[n ... ]     an array of structs that are n bytes in memory; ?3[ may be null from version 3 on; [n = w ] of primitives w
//	{ ... }      a struct; ?{ a byte first that is -1 where it is null
//	#7           the next word is the tagged field 7
//
// and may be followed by :3+ or :3-5, the versions that have it.
func parseLayout(words *[]string) *layout {
	l := new(layout)
	tag := int64(-1)
	for len(*words) > 0 {
		word := (*words)[0]
		if word[0] == ']' || word[0] == '}' {
			return l
		}
		*words = (*words)[1:]
		switch {
		case word == "=":
			l.bare = true
		case word[0] == '#':
			tag, _ = strconv.ParseInt(word[1:], 10, 32)
		default:
			f := parseField(word, words)
			if tag >= 0 {
				f.tag = uint32(tag)
				l.tagged = append(l.tagged, f)
			} else {
				l.fields = append(l.fields, f)
			}
			tag = -1
		}
	}
	return l
}

func parseField(word string, words *[]string) wireField {
	f := wireField{max: math.MaxInt16, nullFrom: math.MaxInt16}
	kind, versions, _ := strings.Cut(word, ":")
	if null, ok := strings.CutPrefix(kind, "?"); ok {
		at := strings.IndexAny(null, "[{")
		from, _ := strconv.Atoi("0" + null[:at])
		f.nullFrom, kind = int16(from), null[at:]
	}
	switch kind[0] {
	case 's', 'b', 'S', 'B':
		f.kind = map[byte]wireKind{'s': wireString, 'S': wireString, 'b': wireBytes, 'B': wireBytes}[kind[0]]
		if kind[0] < 'a' {
			f.nullFrom = 0
		}
	case '[', '{':
		f.kind = wireStruct
		if kind[0] == '[' {
			f.kind = wireArray
			size, _ := strconv.Atoi(kind[1:])
			f.size = int32(size)
		}
		f.elem = parseLayout(words)
		_, versions, _ = strings.Cut((*words)[0], ":")
		*words = (*words)[1:]
	default:
		width, _ := strconv.Atoi(kind)
		f.width = uint8(width)
	}
	if versions != "" {
		first, last, ok := strings.Cut(strings.TrimSuffix(versions, "+"), "-")
		n, _ := strconv.Atoi(first)
		if f.min = int16(n); ok {
			n, _ = strconv.Atoi(last)
			f.max = int16(n)
		}
	}
	return f
}

// walk is one pass over a body.
type walk struct {
	reader
	version  int16
	flexible bool
	cost     int // bytes that the decoder will allocate
	limit    int
	over     bool // cost went beyond limit
}

// checkBody walks the body of a request and returns what its decoding will allocate, or a little more. Errors wrap ErrMalformed.
// What follows the last field is ignored, as Kafka does.
func checkBody(key, version int16, body []byte) (cost int, err error) {
	return check(layouts[key], key, version, body, MaxDecoded)
}

func check(l *layout, key, version int16, body []byte, most int) (cost int, err error) {
	w := walk{reader: reader{b: body}, version: version, flexible: Flexible(key, version)}
	w.limit = min(decodeFactor*len(body)+decodeFloor, most)
	w.structure(l)
	switch {
	case w.over:
		return 0, fmt.Errorf("%w: a body of %d bytes needs more than %d to decode", ErrMalformed, len(body), w.limit)
	case w.bad:
		return 0, fmt.Errorf("%w: a length in a body of %d bytes is wrong", ErrMalformed, len(body))
	}
	return w.cost, nil
}

func (w *walk) charge(n int) {
	if w.cost += n; w.cost > w.limit {
		w.over = true
		w.fail()
	}
}

func (w *walk) structure(l *layout) {
	if w.untagged(l); w.flexible && !l.bare && !w.bad {
		w.tags(l.tagged)
	}
}

// untagged walks the fields that come before the tagged ones.
func (w *walk) untagged(l *layout) {
	for i := range l.fields {
		f := &l.fields[i]
		if w.version < f.min || w.version > f.max {
			continue
		}
		if w.field(f); w.bad {
			return
		}
	}
}

func (w *walk) field(f *wireField) {
	switch f.kind {
	case wireFixed:
		w.skip(uint64(f.width))
	case wireString:
		n := w.length(f, 2)
		w.skip(uint64(n))
		w.charge(n + 24) // the bytes, and a header where it is nullable
	case wireBytes:
		w.skip(uint64(w.length(f, 4)))
	case wireArray:
		w.array(f)
	case wireStruct:
		if f.nullFrom <= w.version {
			if len(w.b) == 0 {
				w.fail()
				return
			}
			null := int8(w.b[0]) == -1
			if w.b = w.b[1:]; null {
				return
			}
			w.charge(256) // more than any such struct
		}
		w.structure(f.elem)
	}
}

// length reads a length; null is 0. It fails where the length is more than what is left or null is not allowed.
func (w *walk) length(f *wireField, width int) int {
	var n int64
	switch {
	case w.flexible:
		n = int64(w.uvarint()) - 1
	case width == 2:
		n = int64(w.int16())
	default:
		n = int64(w.int32())
	}
	switch {
	case w.bad:
		return 0
	case n < 0:
		if w.version < f.nullFrom {
			w.fail()
		}
		return 0
	case n > int64(len(w.b)):
		w.fail()
		return 0
	}
	return int(n)
}

func (w *walk) array(f *wireField) {
	n := w.length(f, 4)
	if n == 0 {
		return
	}
	w.charge(n * int(f.size) / 4 * 5) // rounded up to a size class
	if e := f.elem; e.bare && e.fields[0].kind == wireFixed {
		w.skip(uint64(n) * uint64(e.fields[0].width))
		return
	}
	for ; n > 0 && !w.bad; n-- {
		w.structure(f.elem)
	}
}

// tags walks the tagged fields of a struct. The content of a known one must fill its size.
func (w *walk) tags(known []wireField) {
	unknown := 0
	for n := w.uvarint(); n > 0 && !w.bad; n-- {
		tag, size := w.uvarint(), w.uvarint()
		if w.bad || uint64(size) > uint64(len(w.b)) {
			w.fail()
			return
		}
		rest := w.b[size:]
		w.b = w.b[:size]
		var f *wireField
		for i := range known {
			if known[i].tag == tag {
				f = &known[i]
			}
		}
		if f == nil {
			if unknown++; unknown == 1 {
				w.charge(tagMapCost)
			} else if unknown > 8 {
				w.charge(tagCost)
			}
		} else if w.field(f); len(w.b) != 0 {
			w.fail()
		}
		if w.bad {
			return
		}
		w.b = rest
	}
}
