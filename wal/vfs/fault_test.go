package vfs

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestFail(t *testing.T) {
	f := NewFault(OS, "")
	name := t.TempDir() + "/a"
	f.Fail(2, syscall.EIO, Only(Create, Rename))
	file, err := f.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write([]byte("1234")); err != nil || f.Fired() {
		t.Fatalf("%v, fired %v", err, f.Fired())
	}
	if err := f.Rename(name, name+"2"); !errors.Is(err, syscall.EIO) || !f.Fired() {
		t.Fatalf("second match: %v", err)
	}
	if err := f.Rename(name, name+"2"); err != nil {
		t.Fatalf("a fault came twice: %v", err)
	}
	f.Fail(1, syscall.ENOSPC, Only(Write))
	if n, err := file.Write([]byte("5678")); n != 2 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("failing write: %d, %v", n, err)
	}
	f.Crash(1, Any)
	for range 3 {
		if err := file.Sync(); !errors.Is(err, ErrCrashed) {
			t.Fatalf("after the crash: %v", err)
		}
	}
	f.Heal()
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
}

func TestLock(t *testing.T) {
	name := t.TempDir() + "/.lock"
	lock, err := OS.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OS.Lock(name); !errors.Is(err, ErrLocked) {
		t.Fatalf("second lock: %v", err)
	}
	lock.Close()
	lock, err = OS.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
}

func put(t *testing.T, f FS, name, data string, sync bool) {
	t.Helper()
	file, err := f.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err == nil {
		_, err = file.Write([]byte(data))
	}
	if err == nil && sync {
		err = file.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
}

// What was synced is in every image; what was not is missing, cut, zero or there in some.
func TestCrashImage(t *testing.T) {
	root := t.TempDir()
	put(t, OS, root+"/old", "old", false)
	f := NewFault(OS, t.TempDir())
	if err := f.Settle(root); err != nil {
		t.Fatal(err)
	}
	if err := f.MkdirAll(root+"/d/e", 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, f, root+"/d/synced", "0123456789", true)
	put(t, f, root+"/d/half", "01234", true)
	put(t, f, root+"/d/half", "56789", false)
	for _, dir := range []string{root, root + "/d"} {
		if err := f.SyncDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	put(t, f, root+"/d/nameless", "0123456789", true)
	put(t, f, root+"/new", "new", true)
	if err := errors.Join(f.Rename(root+"/new", root+"/old"), f.Remove(root+"/d/synced")); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	seen := map[string]map[string]bool{}
	for range 200 {
		image := t.TempDir()
		if err := f.CrashImage(root, image, rnd); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"old", "d/synced", "d/half", "d/nameless", "d/e"} {
			data, err := os.ReadFile(filepath.Join(image, name))
			if err != nil {
				data = []byte("-")
			}
			if seen[name] == nil {
				seen[name] = map[string]bool{}
			}
			seen[name][string(data)] = true
		}
	}
	for name, want := range map[string][]string{
		"old": {"old", "new"}, "d/synced": {"-", "0123456789"}, "d/nameless": {"-", "0123456789"},
	} {
		for _, data := range want {
			if !seen[name][data] {
				t.Errorf("%s is never %q", name, data)
			}
			delete(seen[name], data)
		}
		for data := range seen[name] {
			t.Errorf("%s is %q", name, data) // a rename is not half done
		}
	}
	for data := range seen["d/half"] {
		rest := bytes.TrimRight([]byte(data)[5:], "\x00")
		if data[:5] != "01234" || !bytes.HasPrefix([]byte("56789"), rest) {
			t.Errorf("a half synced file is %q", data)
		}
	}
	if len(seen["d/half"]) < 5 {
		t.Errorf("a half synced file is always one of %v", seen["d/half"])
	}
}
