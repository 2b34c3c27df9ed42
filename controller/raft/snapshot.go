package raft

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"weir/controller"
	"weir/protocol"
)

// A snapshot is: magic, version, u64 offset, u32 epoch; then for each batch a uvarint length and the batch as
// controller.AppendBatch writes it; then a zero. raft.FileSnapshotStore adds a CRC-64 and looks at it before we read.
const (
	snapshotMagic   = "WEIRSNAP"
	snapshotVersion = 1
	snapshotHeader  = len(snapshotMagic) + 1 + 8 + 4
	snapshotBatch   = 1000 // records
	snapshotLargest = 64 << 20
)

type imageSnapshot struct{ image *controller.Image }

// Persist writes the image; Raft calls it on a goroutine of its own.
func (s imageSnapshot) Persist(sink raft.SnapshotSink) error {
	w := bufio.NewWriterSize(sink, 64<<10)
	err := writeSnapshot(w, s.image)
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}

// Release has nothing to give back.
func (imageSnapshot) Release() {}

func writeSnapshot(w *bufio.Writer, m *controller.Image) error {
	b := append([]byte(snapshotMagic), snapshotVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Offset))
	b = binary.BigEndian.AppendUint32(b, uint32(m.Epoch))
	if _, err := w.Write(b); err != nil {
		return err
	}
	var records []controller.Record
	flush := func() error {
		b = controller.AppendBatch(b[:0], uint64(m.Epoch), records)
		records = records[:0]
		var size [binary.MaxVarintLen64]byte
		if _, err := w.Write(size[:binary.PutUvarint(size[:], uint64(len(b)))]); err != nil {
			return err
		}
		_, err := w.Write(b)
		return err
	}
	for rec := range m.Records() {
		if records = append(records, rec); len(records) == snapshotBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(records) > 0 {
		if err := flush(); err != nil {
			return err
		}
	}
	return w.WriteByte(0)
}

func readSnapshot(r io.Reader) (*controller.Image, error) {
	var img *controller.Image
	offset, epoch, err := walkSnapshot(r, func(b []byte, offset int64, epoch int32) error {
		if img == nil {
			img = controller.NewImage()
		}
		_, records, err := controller.DecodeBatch(b)
		if err == nil {
			img, _, err = controller.Merge(img, records, offset, epoch)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("metadata snapshot: %w", err)
	}
	if img == nil {
		img, _, err = controller.Merge(controller.NewImage(), nil, offset, epoch)
	}
	return img, err
}

// walkSnapshot calls f with each batch. The bytes are valid only then.
func walkSnapshot(r io.Reader, f func(b []byte, offset int64, epoch int32) error) (offset int64, epoch int32, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	header := make([]byte, snapshotHeader)
	if _, err := io.ReadFull(in, header); err != nil {
		return 0, 0, err
	}
	if string(header[:len(snapshotMagic)]) != snapshotMagic {
		return 0, 0, fmt.Errorf("%w: no snapshot", protocol.ErrMalformed)
	}
	if v := header[len(snapshotMagic)]; v != snapshotVersion {
		return 0, 0, newerFormat(v)
	}
	rest := header[len(snapshotMagic)+1:]
	offset, epoch = int64(binary.BigEndian.Uint64(rest)), int32(binary.BigEndian.Uint32(rest[8:]))
	var b []byte
	for {
		n, err := binary.ReadUvarint(in)
		if err != nil {
			return 0, 0, err
		}
		if n == 0 {
			return offset, epoch, nil
		}
		if n > snapshotLargest {
			return 0, 0, fmt.Errorf("%w: batch of %d bytes", protocol.ErrMalformed, n)
		}
		if uint64(cap(b)) < n {
			b = make([]byte, n)
		}
		b = b[:n]
		if _, err := io.ReadFull(in, b); err != nil {
			return 0, 0, err
		}
		if err := f(b, offset, epoch); err != nil {
			return 0, 0, err
		}
	}
}
