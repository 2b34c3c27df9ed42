package broker

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"net"
	"time"

	"weir/config"
	"weir/wal/vfs"
)

// fill puts the real world where nothing was given.
func (c *Config) fill() {
	if c.Settings == nil {
		c.Settings, _, _ = config.Resolve() // defaults alone always resolve
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = func(b []byte) { rand.Read(b) } // never fails: crypto/rand ends the process instead
	}
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		}
	}
	if c.Listen == nil {
		c.Listen = net.Listen
	}
	if c.ListenPacket == nil {
		c.ListenPacket = net.ListenPacket
	}
	if c.FS == nil {
		c.FS = vfs.OS
	}
}

// randomness gives the controller its random bits.
type randomness struct{ fill func([]byte) }

// Uint64 implements controller.Rand.
func (r randomness) Uint64() uint64 {
	var b [8]byte
	r.fill(b[:])
	return binary.LittleEndian.Uint64(b[:])
}
