package wal

import (
	"fmt"
	"os"
	"reflect"
	"unsafe"

	tidwall "github.com/tidwall/wal"
)

// The library keeps every byte of the tail segment in memory and grows that buffer by append, which costs more than writing the
// file. This file reaches the buffer from outside: it is lent before a write and taken back after it (way B). The field names and
// types were read in v1.2.1 and are verified at start; where they differ, lendable is false and wal uses the public API only (way A).
//
// Rules, each of which corrupts a log when broken: the positions must become nil, not an empty slice (TruncateBack slices up to the
// capacity); a handle whose buffer was taken may neither Read nor Truncate. wal does neither at all.

// bounds mirrors the library's bpos, batchEntry its own.
type bounds struct {
	pos, end int //lint:ignore U1000 only the layout counts
}
type batchEntry struct {
	index uint64 //lint:ignore U1000 only the layout counts
	size  int
}

// layout holds the offsets of the private fields.
type layout struct {
	segments, sfile  uintptr // of Log
	ebuf, epos       uintptr // of segment
	entries, payload uintptr // of Batch
}

var peeked, peekErr = findLayout(reflect.TypeFor[tidwall.Log](), reflect.TypeFor[tidwall.Batch]())

// lendable says that way B works in this binary.
func lendable() bool { return peekErr == nil }

// findLayout verifies the library's types and returns the offsets, or says what differs.
func findLayout(log, batch reflect.Type) (layout, error) {
	var l layout
	segments, err := field(log, "segments", reflect.Slice)
	if err != nil {
		return l, err
	}
	pointer := segments.Type.Elem()
	if pointer.Kind() != reflect.Pointer || pointer.Elem().Kind() != reflect.Struct {
		return l, fmt.Errorf("segments is a slice of %v", pointer)
	}
	sfile, err := field(log, "sfile", reflect.Pointer)
	if err == nil && sfile.Type != reflect.TypeFor[*os.File]() {
		err = fmt.Errorf("sfile is a %v", sfile.Type)
	}
	if err != nil {
		return l, err
	}
	ebuf, err := field(pointer.Elem(), "ebuf", reflect.Slice)
	if err == nil && ebuf.Type != reflect.TypeFor[[]byte]() {
		err = fmt.Errorf("ebuf is a %v", ebuf.Type)
	}
	if err != nil {
		return l, err
	}
	epos, err := field(pointer.Elem(), "epos", reflect.Slice)
	if err == nil {
		err = sameFields(epos.Type.Elem(), reflect.TypeFor[bounds]())
	}
	if err != nil {
		return l, err
	}
	entries, err := field(batch, "entries", reflect.Slice)
	if err == nil {
		err = sameFields(entries.Type.Elem(), reflect.TypeFor[batchEntry]())
	}
	if err != nil {
		return l, err
	}
	datas, err := field(batch, "datas", reflect.Slice)
	if err == nil && datas.Type != reflect.TypeFor[[]byte]() {
		err = fmt.Errorf("datas is a %v", datas.Type)
	}
	return layout{segments.Offset, sfile.Offset, ebuf.Offset, epos.Offset, entries.Offset, datas.Offset}, err
}

func field(t reflect.Type, name string, kind reflect.Kind) (reflect.StructField, error) {
	f, ok := t.FieldByName(name)
	if !ok || f.Type.Kind() != kind {
		return f, fmt.Errorf("%v has no %v named %s", t, kind, name)
	}
	return f, nil
}

func sameFields(got, want reflect.Type) error {
	if got.Kind() != reflect.Struct || got.NumField() != want.NumField() || got.Size() != want.Size() {
		return fmt.Errorf("%v is not %v", got, want)
	}
	for i := range want.NumField() {
		g, w := got.Field(i), want.Field(i)
		if g.Name != w.Name || g.Type != w.Type || g.Offset != w.Offset {
			return fmt.Errorf("%v.%s is not %v.%s", got, g.Name, want, w.Name)
		}
	}
	return nil
}

// lendTail gives the library buf as its tail buffer and pos for the one position it will note.
func lendTail(log *tidwall.Log, buf []byte, pos *[1]bounds) {
	tail := tailOf(log)
	*(*[]byte)(unsafe.Add(tail, peeked.ebuf)) = buf[:0]
	*(*[]bounds)(unsafe.Add(tail, peeked.epos)) = pos[:0]
}

// dropTail takes back what was lent, and frees what the library read itself when it was opened.
func dropTail(log *tidwall.Log) {
	tail := tailOf(log)
	*(*[]byte)(unsafe.Add(tail, peeked.ebuf)) = nil
	*(*[]bounds)(unsafe.Add(tail, peeked.epos)) = nil
}

func tailOf(log *tidwall.Log) unsafe.Pointer {
	segments := *(*[]unsafe.Pointer)(unsafe.Add(unsafe.Pointer(log), peeked.segments))
	return segments[len(segments)-1]
}

// lendBatch makes b the batch of the one entry data, without copying data; takeBatch empties it.
func lendBatch(b *tidwall.Batch, index uint64, data []byte) {
	b.Clear()
	b.Write(index, nil)
	entries := *(*[]batchEntry)(unsafe.Add(unsafe.Pointer(b), peeked.entries))
	entries[0].size = len(data)
	*(*[]byte)(unsafe.Add(unsafe.Pointer(b), peeked.payload)) = data
}

func takeBatch(b *tidwall.Batch) {
	*(*[]byte)(unsafe.Add(unsafe.Pointer(b), peeked.payload)) = nil
	b.Clear()
}

// swapFile puts f in the place of the file that the library writes to, and returns that.
func swapFile(log *tidwall.Log, f *os.File) *os.File {
	at := (**os.File)(unsafe.Add(unsafe.Pointer(log), peeked.sfile))
	old := *at
	*at = f
	return old
}
