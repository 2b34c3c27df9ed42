package wal

import (
	"fmt"
	"hash/crc32"

	"weir/protocol/record"
)

const crcStart = 21 // what a batch's CRC-32C covers begins with the attributes

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkHeader says what is wrong with the header of a batch that may take room bytes and must not begin below offset from.
func checkHeader(h record.Batch, room, from int64) error {
	switch size := int64(h.Size()); {
	case h.Magic() != 2:
		return fmt.Errorf("magic %d: %w", h.Magic(), ErrCorrupt)
	case size < record.HeaderSize || size > room:
		return fmt.Errorf("batch of %d bytes in %d: %w", size, room, ErrCorrupt)
	case h.BaseOffset() < from:
		return fmt.Errorf("batch at offset %d after %d: %w", h.BaseOffset(), from-1, ErrCorrupt)
	case h.NextOffset() <= h.BaseOffset():
		return fmt.Errorf("batch from %d to %d: %w", h.BaseOffset(), h.LastOffset(), ErrCorrupt)
	}
	return nil
}

// checkSet walks recs from batch to batch, and is the guard that what is appended can be read again. It does not look at CRCs:
// whoever took the bytes from the wire did.
func checkSet(recs []byte, set record.Set) error {
	next := set.Base
	for rest := recs; len(rest) > 0; {
		if len(rest) < record.HeaderSize {
			return fmt.Errorf("append: %d stray bytes after the last batch: %w", len(rest), ErrCorrupt)
		}
		h := record.Batch(rest)
		if err := checkHeader(h, int64(len(rest)), next); err != nil {
			return fmt.Errorf("append: %w", err)
		}
		next, rest = h.NextOffset(), rest[h.Size():]
	}
	if len(recs) == 0 || next != set.Next {
		return fmt.Errorf("append of %d bytes up to offset %d as [%d, %d): %w", len(recs), next, set.Base, set.Next, ErrCorrupt)
	}
	return nil
}
