package vfs

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// tracker knows what is durable: bytes per file, by inode so that renames do not matter, and names per directory.
type tracker struct {
	shadow string

	mu      sync.Mutex
	sizes   map[uint64]int64  // bytes of a file that were synced, by inode
	fresh   map[string]bool   // names that were made since their directory was synced
	buried  map[string]string // names that were removed or replaced since then, and where the file is kept
	moved   map[string]string // names that a file was renamed to since then, and the name that it had
	counter int
}

func (t *tracker) init(shadow string) {
	t.shadow = shadow
	t.sizes, t.fresh, t.buried, t.moved = map[uint64]int64{}, map[string]bool{}, map[string]string{}, map[string]string{}
}

func inode(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

// create notes a name that make is to make, if it is not there.
func (t *tracker) create(name string, make func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, missing := os.Lstat(name)
	if err := make(); err != nil || missing == nil {
		return err
	}
	t.fresh[name] = true
	if info, err := os.Lstat(name); err == nil {
		delete(t.sizes, inode(info)) // of a file that is gone
	}
	return nil
}

func (t *tracker) truncated(name string, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if info, err := os.Lstat(name); err == nil {
		if old, ok := t.sizes[inode(info)]; ok {
			t.sizes[inode(info)] = min(old, size)
		}
	}
}

func (t *tracker) synced(info fs.FileInfo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sizes[inode(info)] = info.Size()
}

func (t *tracker) bury(name string) {
	if t.shadow == "" {
		return
	}
	info, err := os.Lstat(name)
	if _, moved := t.moved[name]; err != nil || !info.Mode().IsRegular() || t.fresh[name] || moved {
		return // it is not durable; what was there before may be kept already
	}
	t.counter++
	to := filepath.Join(t.shadow, fmt.Sprint(t.counter))
	if os.Link(name, to) == nil {
		t.buried[name] = to
	}
}

func (t *tracker) removed(name string, remove func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bury(name)
	err := remove()
	if err == nil {
		delete(t.fresh, name)
		delete(t.moved, name)
	}
	return err
}

func (t *tracker) renamed(from, to string, rename func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bury(to)
	if err := rename(); err != nil {
		return err
	}
	for name := range t.fresh {
		if moved, ok := under(name, from, to); ok {
			delete(t.fresh, name)
			t.fresh[moved] = true
		}
	}
	if info, err := os.Lstat(to); err == nil && info.Mode().IsRegular() {
		delete(t.fresh, to)
		t.moved[to] = from
	} else {
		t.fresh[to] = true
	}
	return nil
}

func under(name, from, to string) (string, bool) {
	if name == from {
		return to, true
	}
	if rest, ok := strings.CutPrefix(name, from+"/"); ok {
		return to + "/" + rest, true
	}
	return "", false
}

func (t *tracker) syncedDir(dir string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range t.fresh {
		if filepath.Dir(name) == dir {
			delete(t.fresh, name)
		}
	}
	for name := range t.moved {
		if filepath.Dir(name) == dir {
			delete(t.moved, name)
		}
	}
	for name, kept := range t.buried {
		if filepath.Dir(name) == dir {
			os.Remove(kept)
			delete(t.buried, name)
		}
	}
}

// Settle takes everything below root as durable: what a machine finds when it starts.
func (f *Fault) Settle(root string) error {
	t := &f.track
	t.mu.Lock()
	defer t.mu.Unlock()
	return filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			t.sizes[inode(info)] = info.Size()
		}
		return err
	})
}

// CrashImage copies the directory root to dst as a crash of the machine could leave it: each file cut, or with zeros, somewhere
// between what was synced of it and its size; names that were made or removed since their directory was synced there or not; a file that
// was renamed since the directory of its new name was synced under the one name or the other. Nobody may write below root meanwhile.
func (f *Fault) CrashImage(root, dst string, rnd *rand.Rand) error {
	t := &f.track
	t.mu.Lock()
	defer t.mu.Unlock()
	img := image{t: t, rnd: rnd, root: root, dst: dst}
	err := img.dir(root, dst)
	for name, kept := range t.buried {
		rel, outside := filepath.Rel(root, name)
		if err != nil || outside != nil || strings.HasPrefix(rel, "..") || !img.back[name] && rnd.IntN(2) == 0 {
			continue
		}
		to := filepath.Join(dst, rel)
		if _, missing := os.Stat(filepath.Dir(to)); missing != nil {
			continue
		}
		if _, there := os.Stat(to); there != nil || t.fresh[name] || img.back[name] {
			err = img.file(kept, to)
		}
	}
	return err
}

type image struct {
	t         *tracker
	rnd       *rand.Rand
	root, dst string
	back      map[string]bool // names that are as they were before a rename
}

// undo makes the image one in which a file was not renamed to name.
func (g *image) undo(name, from string) error {
	if g.back == nil {
		g.back = make(map[string]bool)
	}
	g.back[name] = true
	rel, outside := filepath.Rel(g.root, from)
	if outside != nil || strings.HasPrefix(rel, "..") || g.rnd.IntN(4) == 0 { // it was made just before
		return nil
	}
	if _, err := os.Lstat(from); err == nil {
		return nil // another file of that name
	}
	to := filepath.Join(g.dst, rel)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return g.file(name, to)
}

func (g *image) dir(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		src, dst := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if g.t.fresh[src] && g.rnd.IntN(3) == 0 {
			continue
		}
		if was, ok := g.t.moved[src]; ok && g.rnd.IntN(3) == 0 {
			if err := g.undo(src, was); err != nil {
				return err
			}
			continue
		}
		if e.IsDir() {
			err = g.dir(src, dst)
		} else {
			err = g.file(src, dst)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// file copies one file with its unsynced end as it may be.
func (g *image) file(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if safe := int(min(g.t.sizes[inode(info)], int64(len(data)))); safe < len(data) {
		at := safe + g.rnd.IntN(len(data)-safe+1)
		switch g.rnd.IntN(4) {
		case 0: // nothing is lost
		case 1:
			data = data[:at]
		case 2: // the size is there, the bytes are not
			clear(data[at:])
		case 3: // one page is not
			clear(data[at:min(len(data), (at/4096+1)*4096)])
		}
	}
	return os.WriteFile(to, data, 0o644)
}
