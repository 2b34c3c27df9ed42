package record

// Data is a run of whole batches as they lie in the log, on its way to a socket. It is made by the log and must be released once.
type Data struct {
	Pieces []Piece
	Size   int      // bytes in all pieces together
	Owner  Releaser // nil: nothing to release
}

// Piece is one contiguous run of a Data: Bytes, or, where Bytes is nil, N bytes at Pos of the open file descriptor FD, to be sent
// by sendfile(2) or read by pread(2).
type Piece struct {
	Bytes []byte
	FD    int
	Pos   int64
	N     int
}

// Releaser takes back buffers and descriptors.
type Releaser interface{ Release() }

// Release gives buffers and descriptors back. Neither Pieces nor what they point to may be used after it. It may be called on a
// zero Data and more than once.
func (d *Data) Release() {
	if o := d.Owner; o != nil {
		d.Owner = nil
		o.Release()
	}
	d.Pieces, d.Size = d.Pieces[:0], 0
}
