//go:build !linux

package broker

import (
	"errors"
	"syscall"

	"weir/protocol/record"
)

// Other systems go through net.Conn: rawOf gives no descriptor there, so neither of these is called.
const rawSends = false

var errNoRaw = errors.New("no raw sends on this system")

func sendVec(syscall.RawConn, [][]byte, bool, *flow) error { return errNoRaw }
func sendFile(syscall.RawConn, *record.Piece, *flow) error { return errNoRaw }
