package broker

import (
	"io"
	"net"
	"syscall"

	"weir/internal/buffer"
	"weir/protocol/record"
)

// sender writes responses to a connection: straight from memory and from segment files where the transport has a descriptor
// (writev, sendfile), else through net.Conn. One goroutine at a time uses it.
type sender struct {
	conn net.Conn
	raw  syscall.RawConn // nil: the transport has no descriptor, TLS for example
	vec  [][]byte
	flow flow
}

// pieceBytes is how much is written at once of what is written from memory: what a client that reads slowly can be seen to take.
const pieceBytes = 64 << 10

// bytes writes one run.
func (s *sender) bytes(b []byte) error {
	for len(b) > 0 {
		n, err := s.conn.Write(b[:min(len(b), pieceBytes)])
		s.flow.passed.Add(int64(n))
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// Bytes adds a run to what flush writes.
func (s *sender) Bytes(b []byte) {
	if len(b) > 0 {
		s.vec = append(s.vec, b)
	}
}

// flush writes what was queued.
func (s *sender) flush(more bool) error {
	if len(s.vec) == 0 {
		return nil
	}
	vec := s.vec
	defer func() {
		clear(s.vec)
		s.vec = s.vec[:0]
	}()
	if s.raw != nil {
		return sendVec(s.raw, vec, more, &s.flow)
	}
	for _, b := range vec {
		if err := s.bytes(b); err != nil {
			return err
		}
	}
	return nil
}

// Data queues or sends the pieces of d.
func (s *sender) Data(d *record.Data) error {
	for i := range d.Pieces {
		p := &d.Pieces[i]
		if p.Bytes != nil {
			s.Bytes(p.Bytes)
			continue
		}
		if s.raw == nil {
			if err := s.copyPiece(p); err != nil {
				return err
			}
			continue
		}
		if err := s.flush(true); err != nil {
			return err
		}
		if err := sendFile(s.raw, p, &s.flow); err != nil {
			return err
		}
	}
	return nil
}

// copyPiece reads a piece of a file and writes it, for transports without sendfile.
func (s *sender) copyPiece(p *record.Piece) error {
	if err := s.flush(true); err != nil {
		return err
	}
	b := buffer.Get(256 << 10)
	defer b.Put()
	for done := 0; done < p.N; {
		n, err := syscall.Pread(p.FD, b.B[:min(len(b.B), p.N-done)], p.Pos+int64(done))
		if err == syscall.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		if err := s.bytes(b.B[:n]); err != nil {
			return err
		}
		done += n
	}
	return nil
}
