package record

import (
	"testing"
)

func TestReadMarker(t *testing.T) {
	m := Marker(ControlAbort, 7, 3, 9, 1000)
	if len(m) > MaxMarker {
		t.Fatalf("%d bytes", len(m))
	}
	if control, epoch, ok := ReadMarker(m); control != ControlAbort || epoch != 9 || !ok {
		t.Errorf("%d %d %v", control, epoch, ok)
	}
	m = Marker(ControlCommit, 7, 3, -1, 1000)
	if control, epoch, ok := ReadMarker(m); control != ControlCommit || epoch != -1 || !ok {
		t.Errorf("%d %d %v", control, epoch, ok)
	}
	for n := range m {
		if n < HeaderSize {
			continue
		}
		if _, _, ok := ReadMarker(m[:n]); ok {
			t.Errorf("%d bytes of a marker are taken for one", n)
		}
	}
	other := Builder{Control: true, HasProducer: true}
	other.Add(1, []byte{0, 0, 0, 2}, []byte{0, 0, 0, 0, 0, 0}) // a leader change
	empty := Builder{Control: true, HasProducer: true}
	packed := Builder{Control: true, HasProducer: true, Codec: Gzip}
	packed.Add(1, []byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 0})
	for _, b := range []*Builder{&other, &empty, &packed} {
		if _, _, ok := ReadMarker(b.Bytes()); ok {
			t.Errorf("%x is taken for a marker", []byte(b.Bytes()))
		}
	}
	if n := testing.AllocsPerRun(100, func() { ReadMarker(m) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzReadMarker(f *testing.F) {
	f.Add([]byte(Marker(ControlAbort, 7, 3, 9, 1000)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= HeaderSize {
			ReadMarker(b)
		}
	})
}
