package record

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// gzipReader is a reader with its source, so that both are used again.
type gzipReader struct {
	src bytes.Reader
	zr  gzip.Reader
}

var gzipReaders = sync.Pool{New: func() any { return new(gzipReader) }}

func gunzip(dst, src []byte, limit int) ([]byte, error) {
	r := gzipReaders.Get().(*gzipReader)
	defer gzipReaders.Put(r)
	start := len(dst)
	r.src.Reset(src)
	err := r.zr.Reset(&r.src)
	if err != nil {
		return dst, corrupt(Gzip, err)
	}
	r.zr.Multistream(false)
	for err == nil {
		if len(dst) == cap(dst) {
			dst = reserve(dst, max(4*len(src), 4<<10))
		}
		var n int
		n, err = r.zr.Read(dst[len(dst):min(cap(dst), start+limit+1)])
		dst = dst[:len(dst)+n]
		if len(dst)-start > limit {
			err = ErrTooLarge
		}
		if err == io.EOF && r.src.Len() > 0 && r.zr.Reset(&r.src) == nil {
			r.zr.Multistream(false)
			err = nil // another member; what follows one and does not begin as one is ignored, as Java does
		}
	}
	r.src.Reset(nil)
	switch {
	case err == io.EOF:
		return dst, nil
	case errors.Is(err, ErrTooLarge):
		return dst[:start], err
	}
	return dst[:start], corrupt(Gzip, err)
}

// gzipWriter is a writer with its destination.
type gzipWriter struct {
	dst appender
	zw  *gzip.Writer
}

// appender is an io.Writer that appends.
type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

var gzipWriters [gzip.BestCompression + 1]sync.Pool

func gzipTo(dst, src []byte, level int) []byte {
	if level < gzip.BestSpeed {
		level = 6 // what -1, the default, is in zlib
	}
	level = min(level, gzip.BestCompression)
	w, _ := gzipWriters[level].Get().(*gzipWriter)
	if w == nil {
		w = new(gzipWriter)
		w.zw, _ = gzip.NewWriterLevel(nil, level) // the level is in range
	}
	w.dst = dst
	w.zw.Reset(&w.dst)
	w.zw.Write(src) // an appender does not fail
	w.zw.Close()
	dst, w.dst = w.dst, nil
	gzipWriters[level].Put(w)
	return dst
}
