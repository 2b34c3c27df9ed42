package buffer

import "testing"

func TestClassesHold(t *testing.T) {
	last := 0
	for n := 1; n <= 1<<maxBits; n += 1 + n/7 {
		class, size := classOf(n)
		if size < n || class < 0 || class >= classes {
			t.Fatalf("%d bytes: class %d of %d", n, class, size)
		}
		if n > 1<<minBits && size > n+n/4+1 {
			t.Errorf("%d bytes: class of %d wastes more than a fifth of itself", n, size)
		}
		if size < last {
			t.Errorf("%d bytes: class of %d, fewer bytes got %d", n, size, last)
		}
		last = size
		if again, same := classOf(size); again != class || same != size {
			t.Fatalf("a buffer of class %d, %d bytes, would go to class %d, %d", class, size, again, same)
		}
	}
	if class, _ := classOf(1<<maxBits + 1); class != -1 {
		t.Errorf("more than the largest class: %d", class)
	}
}

func held(sizes ...int) (l *largeBuffers, all []*Buffer) {
	l = &largeBuffers{watch: true} // age is called by the test
	for _, n := range sizes {
		class, size := classOf(n)
		b := &Buffer{B: make([]byte, size), class: class}
		l.put(b)
		all = append(all, b)
	}
	return l, all
}

func TestLargeLastInFirstOut(t *testing.T) {
	l, all := held(1<<20, 1<<20, 3<<20)
	if b := l.get(all[0].class); b != all[1] {
		t.Error("not the one that was put last")
	}
	if b := l.get(all[2].class); b != all[2] {
		t.Error("another class got in between")
	}
	if l.get(all[2].class) != nil {
		t.Error("a buffer out of nothing")
	}
	if l.bytes != 1<<20 {
		t.Errorf("%d bytes are kept", l.bytes)
	}
}

func TestLargeIsBounded(t *testing.T) {
	l, _ := held(12<<20, 12<<20, 12<<20, 4<<20)
	if l.bytes != 28<<20 {
		t.Errorf("%d bytes are kept, bound %d", l.bytes, maxLarge)
	}
}

// What is used between two collections stays, the rest goes at the second: the first only begins to watch it.
func TestLargeAges(t *testing.T) {
	l, all := held(1<<20, 1<<20, 1<<20, 5<<20)
	l.age()
	if l.bytes != 8<<20 {
		t.Fatalf("%d bytes after a first look", l.bytes)
	}
	b := l.get(all[0].class)
	l.put(b)
	l.age()
	if l.bytes != 1<<20 {
		t.Fatalf("%d bytes, one buffer of 1 MiB was in use", l.bytes)
	}
	if l.get(b.class) != b {
		t.Error("another buffer than the one in use was kept")
	}
	l.put(b)
	l.age()
	l.age()
	if l.bytes != 0 || l.watch {
		t.Errorf("%d bytes, watching %v, nobody has used any", l.bytes, l.watch)
	}
}

func BenchmarkGetPut(b *testing.B) {
	for _, n := range []int{1 << 10, 1 << 20, 6 << 20} {
		b.Run(size(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Get(n).Put()
			}
		})
	}
}

func size(n int) string {
	if n >= 1<<20 {
		return string(rune('0'+n>>20)) + " MiB"
	}
	return string(rune('0'+n>>10)) + " KiB"
}
