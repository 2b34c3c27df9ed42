package replica

import "weir/wal"

// walStore is a wal.Dir as a Store.
type walStore struct{ *wal.Dir }

// OpenWAL opens a log directory on the disk. Errors are wal.OpenDir's.
func OpenWAL(d DirConfig, o wal.Options) (Store, error) {
	dir, err := wal.OpenDir(d.Path, o)
	if err != nil {
		return nil, err
	}
	return walStore{dir}, nil
}

// Log implements Store.
func (s walStore) Log(name string) (Log, error) {
	l, err := s.Dir.Log(name)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Size implements Store.
func (s walStore) Size(name string) (int64, error) {
	l, err := s.Dir.Log(name)
	if err != nil {
		return 0, err
	}
	return l.Size(), nil
}

// Room implements Store.
func (s walStore) Room() (total, usable int64, err error) {
	u, err := s.Dir.Usage()
	return u.Total, u.Usable, err
}
