//go:build !linux

package broker

import (
	"errors"
	"syscall"

	"weir/protocol/record"
)

// Other systems go through net.Conn: rawOf gives no descriptor there, so none of these is called.
const rawSends = false

var errNoRaw = errors.New("no raw sends on this system")

func waitForMore(uintptr, int) error                       { return errNoRaw }
func readable(uintptr) int                                 { return 0 }
func sendVec(syscall.RawConn, [][]byte, bool, *flow) error { return errNoRaw }
func sendFile(syscall.RawConn, *record.Piece, *flow) error { return errNoRaw }
