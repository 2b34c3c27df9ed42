package replica

import (
	"errors"

	"weir/wal"
)

func openWAL(DirConfig, wal.Options) (Store, error) { return nil, errors.ErrUnsupported }
