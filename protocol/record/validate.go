package record

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"weir/protocol"
)

// Options are what Validate goes by: the Produce request and the topic's configuration. A zero MaxMessageBytes lets nothing
// through.
type Options struct {
	ProduceVersion  int16 // of the Produce request that carries the records
	Internal        bool  // the broker itself appends (a coordinator): control batches and any base offset may come
	Compacted       bool  // cleanup.policy has compact: every record needs a key
	Topic           string
	Partition       int32 // both for messages only
	LogAppendTime   bool  // message.timestamp.type
	NowMs           int64
	BeforeMaxMs     int64  // message.timestamp.before.max.ms
	AfterMaxMs      int64  // message.timestamp.after.max.ms
	MaxMessageBytes int32  // max.message.bytes: of a batch as it lies in the log
	MaxRecordBytes  int32  // max.decompressed.message.bytes: of one record of a compressed batch; 0 is no limit
	Target          Target // compression.type
	Convert         Convert
}

// Convert turns records of message format v0 or v1 into one batch of v2, for Validate to go on with. It is the hook for
// requests before Produce v3; nil refuses them.
type Convert func(recs []byte, o *Options) ([]byte, *Error)

// Target is how the log wants batches compressed. The zero value leaves them as the producer made them.
type Target struct {
	Recompress bool
	Codec      Codec
	Level      int // of the codec, for batches that come with another one
}

// ParseTarget reads compression.type and the levels that may go with it. The error wraps ErrMalformed.
func ParseTarget(compressionType string, gzipLevel, lz4Level, zstdLevel int) (Target, error) {
	if compressionType == "producer" {
		return Target{}, nil
	}
	c, err := ParseCodec(compressionType)
	if err != nil {
		return Target{}, err
	}
	level := [...]int{Uncompressed: 0, Gzip: gzipLevel, Snappy: 0, LZ4: lz4Level, Zstd: zstdLevel}[c]
	return Target{Recompress: true, Codec: c, Level: level}, nil
}

// RecordError says which record of a batch was refused and why.
type RecordError = protocol.RecordError

// Error is why a record set was refused. Message is for the client and, as with Kafka, empty where no single record is to blame.
// Records has at most MaxRecordErrors.
type Error struct {
	Code    protocol.Code
	Message string
	Records []RecordError
	// Early is set where Kafka finds it before it looks for the partition (ProduceRequest.validateRecords).
	Early  bool
	detail string
}

// Error returns the code and what was found, for a log.
func (e *Error) Error() string { return e.Code.String() + ": " + e.detail }

// Detail is what was found, in Kafka's words where Kafka tells the client.
func (e *Error) Detail() string { return e.detail }

// Unwrap returns the code.
func (e *Error) Unwrap() error { return e.Code }

// MaxRecordErrors bounds the list of refused records that goes back to a client.
//
// Differs from Kafka: it lists all of them, however many.
const MaxRecordErrors = 1000

func refuse(c protocol.Code, format string, args ...any) *Error {
	return &Error{Code: c, detail: fmt.Sprintf(format, args...)}
}

// minLength is the smallest length field of any message format, that of v0.
const minLength = 14

// Validate checks the record set of one partition of a Produce request as Kafka's leader does (ProduceRequest.validateRecords,
// UnifiedLog.analyzeAndValidateRecords and LogValidator), in that order, for its codes depend on it. out is recs without what
// trails the batch, changed in place (timestamp type, largest timestamp, CRC), or a new slice where records had to be compressed
// anew. set has offsets from 0: Assign and Set.At put them where they belong. recs may be half changed after an error.
//
// A compressed batch may not decompress to more than the larger of 64 MiB and 16 times MaxMessageBytes: MESSAGE_TOO_LARGE, which
// makes producers split it.
//
// Differs from Kafka: it has no such bound. It appends plain batches whose offset deltas are not 0..n-1 as they are; here they get
// the right ones. It does not look at the length field of compressed records nor at the bits that a varint has too many; here
// either is INVALID_RECORD.
func Validate(recs []byte, o Options) (out []byte, set Set, verr *Error) {
	b, verr := onlyBatch(recs, &o)
	if verr != nil {
		verr.Early = true
		return nil, Set{}, verr
	}
	if verr = checkHeader(b, &o); verr != nil {
		return nil, Set{}, verr
	}
	limit := max(64<<20, 16*int(o.MaxMessageBytes))
	data, buf, err := openGated(b, limit)
	if err == ErrTooLarge {
		return nil, Set{}, refuse(protocol.MessageTooLarge, "a batch of %d bytes decompresses to more than %d", len(b), limit)
	}
	if err != nil {
		// Kafka's decoders fail with a bare KafkaException here, which has no code of its own.
		return nil, Set{}, refuse(protocol.UnknownServerError, "%v", err)
	}
	defer buf.close()
	s := scan{b: b, min: -1, max: -1}
	if verr = s.run(&o, data); verr != nil {
		return nil, Set{}, verr
	}
	target := b.Codec()
	if o.Target.Recompress && !(b.Control() && target == Uncompressed) {
		target = o.Target.Codec
	}
	if s.renumber || target != b.Codec() {
		if b, verr = s.rebuild(&o, data, target); verr != nil {
			return nil, Set{}, verr
		}
	}
	if o.LogAppendTime {
		s.max = o.NowMs
		b.SetAppendTime(s.max)
	} else {
		b.SetMaxTimestamp(s.max)
	}
	set = Set{Next: b.NextOffset(), MaxTimestamp: s.max, MaxTimestampOffset: b.LastOffset(), LeaderEpoch: -1, Records: b.Count()}
	set.Base = b.BaseOffset()
	if s.max < 0 {
		set.MaxTimestampOffset = -1
	}
	return b, set, nil
}

// split takes the first batch of any format off b, as Kafka's ByteBufferLogInputStream does: what is too short to be one is no
// batch rather than a bad one.
func split(b []byte) (batch, rest []byte, verr *Error) {
	if len(b) < lengthOverhead {
		return nil, nil, nil
	}
	n := Batch(b).i32(posLength)
	if n < minLength {
		return nil, nil, refuse(protocol.CorruptMessage, "Record size %d is less than the minimum record overhead (%d)", n, minLength)
	}
	if len(b) <= posMagic {
		return nil, nil, nil
	}
	if m := Batch(b).Magic(); m < 0 || m > 2 {
		return nil, nil, refuse(protocol.CorruptMessage, "Invalid magic found in record: %d", m)
	}
	end := int64(n) + lengthOverhead
	switch {
	case end > math.MaxInt32: // in Java the sum wraps
		return nil, nil, refuse(protocol.UnknownServerError, "batch length %d", n)
	case end > int64(len(b)):
		return nil, nil, nil
	}
	return b[:end:end], b[end:], nil
}

// Transactional says whether the first batch of a record set is part of a transaction. The error is one that Kafka comes upon as early
// as that, and refuses all of the request for.
func Transactional(recs []byte) (bool, *Error) {
	first, _, verr := split(recs)
	if verr != nil || first == nil {
		return false, verr
	}
	return Batch(first).Magic() == 2 && Batch(first).Transactional(), nil
}

// CheckSet finds what keeps Kafka from reading the batches of a record set at all, whatever is in them: an error without a code, for
// which it refuses all of the request.
func CheckSet(recs []byte, produceVersion int16) *Error {
	_, verr := onlyBatch(recs, &Options{ProduceVersion: produceVersion})
	if verr != nil && verr.Code == protocol.UnknownServerError {
		return verr
	}
	return nil
}

// onlyBatch finds the one batch of magic 2 that a request of v3 and up may carry.
func onlyBatch(recs []byte, o *Options) (Batch, *Error) {
	first, rest, verr := split(recs)
	if verr != nil {
		return nil, verr
	}
	if first == nil {
		return nil, refuse(protocol.InvalidRecord, "no batch in %d bytes", len(recs))
	}
	b := Batch(first)
	if m := b.Magic(); m != 2 {
		return convert(recs, m, o)
	}
	if o.ProduceVersion < 7 && !o.Internal {
		switch c := b.Codec(); {
		case c == Zstd:
			return nil, refuse(protocol.UnsupportedCompressionType, "zstd in Produce v%d", o.ProduceVersion)
		case !c.Valid():
			return nil, noCodec(c)
		}
	}
	next, _, verr := split(rest)
	if verr != nil {
		return nil, verr
	}
	if next != nil {
		return nil, refuse(protocol.InvalidRecord, "more than one batch")
	}
	return b, nil
}

// noCodec refuses a codec that there is not. Kafka has no code for it: an IllegalArgumentException.
func noCodec(c Codec) *Error { return refuse(protocol.UnknownServerError, "compression codec %d", c) }

// convert hands records of an old format to the hook.
func convert(recs []byte, magic int8, o *Options) (Batch, *Error) {
	switch {
	case o.ProduceVersion >= 3:
		return nil, refuse(protocol.InvalidRecord, "magic %d in Produce v%d", magic, o.ProduceVersion)
	case o.Convert == nil:
		return nil, refuse(protocol.UnsupportedForMessageFormat, "magic %d", magic)
	}
	own := *o // what goes to a function that nobody knows escapes
	recs, verr := o.Convert(recs, &own)
	if verr != nil {
		return nil, verr
	}
	b, rest, err := Next(recs)
	if err != nil || len(rest) > 0 {
		return nil, refuse(protocol.UnknownServerError, "converted to no batch: %v", err)
	}
	return b, nil
}

// checkHeader checks what the header says before any record is looked at.
func checkHeader(b Batch, o *Options) *Error {
	size := len(b)
	if size >= posBaseOffset+8 && b.BaseOffset() != 0 && !o.Internal {
		return refuse(protocol.InvalidRecord, "base offset %d, not 0", b.BaseOffset())
	}
	if size > int(o.MaxMessageBytes) {
		return refuse(protocol.MessageTooLarge, "a batch of %d bytes, not more than %d allowed", size, o.MaxMessageBytes)
	}
	if size < HeaderSize {
		return refuse(protocol.CorruptMessage, "a batch of %d bytes", size)
	}
	if !b.CheckCRC() {
		return refuse(protocol.CorruptMessage, "stored CRC %08x", b.CRC())
	}
	if !b.Codec().Valid() {
		return noCodec(b.Codec())
	}
	base, last, count := b.BaseOffset(), b.LastOffsetDelta(), b.Count()
	switch {
	case last < 0 || base < 0 || base > math.MaxInt64-1-int64(last):
		return refuse(protocol.InvalidRecord, "offsets from %d with last offset delta %d", base, last)
	case count <= 0:
		return refuse(protocol.InvalidRecord, "count %d", count)
	case int64(last)+1 != int64(count):
		return refuse(protocol.InvalidRecord, "last offset delta %d with count %d", last, count)
	case o.Internal:
		return nil
	case b.Control():
		return refuse(protocol.InvalidRecord, "a control batch from a client")
	case b.ProducerID() >= 0 && b.BaseSequence() < 0:
		return refuse(protocol.InvalidRecord, "base sequence %d of producer id %d", b.BaseSequence(), b.ProducerID())
	}
	return nil
}

// lookAhead is how far ahead of a record bytes are called into the processor's cache. Where a record begins is known only when the one
// before it is read, so the processor cannot find out itself.
const lookAhead = 2 << 10

// scan is one walk over the records of a batch.
type scan struct {
	b        Batch
	min, max int64 // of the timestamps so far, and of -1
	renumber bool  // an offset delta is not the record's index
	ahead    byte  // of no use: what is behind it would not be read
	refused  int   // records with an error
	badTime  bool  // one of them has a bad timestamp
	errs     []RecordError
}

func (s *scan) run(o *Options, data []byte) *Error {
	b := s.b
	count := b.Count()
	first, appended := b.FirstTimestamp(), b.LogAppendTime()
	limit := int32(math.MaxInt32)
	if o.MaxRecordBytes > 0 && b.Codec() != Uncompressed {
		limit = o.MaxRecordBytes
	}
	var r skimmed
	records, keyed, renumber := data, true, false
	ahead := byte(0)
	low, high := int64(math.MaxInt64), int64(math.MinInt64)
	for i := int32(0); i < count; i++ {
		if len(data) > lookAhead {
			ahead |= data[lookAhead]
		}
		next := r.plain(data)
		if next == 0 {
			next = r.skim(data)
		}
		if next < 0 {
			if b.Codec() == Uncompressed && endless(data) {
				return refuse(protocol.UnknownServerError, "record %d of %d has a size without an end", i, count)
			}
			return refuse(protocol.InvalidRecord, "record %d of %d is not well formed", i, count)
		}
		if r.body > limit {
			return refuse(protocol.InvalidRecord, "record %d is larger than %d bytes", i, limit)
		}
		data = data[next:]
		renumber = renumber || r.offsetDelta != i
		keyed = keyed && r.keyed
		ts := first + r.timestampDelta
		low, high = min(low, ts), max(high, ts)
	}
	if len(data) > 0 {
		return refuse(protocol.InvalidRecord, "%d bytes behind the last of %d records", len(data), count)
	}
	s.ahead = ahead
	if appended {
		low, high = b.MaxTimestamp(), b.MaxTimestamp()
	}
	s.renumber, s.min, s.max = renumber, min(s.min, low), max(s.max, high)
	if appended || o.Compacted && !keyed || !o.LogAppendTime && !o.inTime(low, high) {
		s.checkAll(o, records)
	}
	if s.refused > 0 {
		return s.rejection()
	}
	return nil
}

// inTime says that all timestamps from low to high are let through. Where it cannot be told from these two it is false.
func (o *Options) inTime(low, high int64) bool {
	const far = 1 << 62 // differences of what is nearer do not wrap
	return low > -far && high < far && o.NowMs > -far && o.NowMs < far && o.NowMs-low <= o.BeforeMaxMs && high-o.NowMs <= o.AfterMaxMs
}

// checkAll applies the topic's rules to each of the well formed records, some of which may break them.
func (s *scan) checkAll(o *Options, records []byte) {
	var r skimmed
	first, appended := s.b.FirstTimestamp(), s.b.LogAppendTime()
	for i := range s.b.Count() {
		records = records[r.skim(records):]
		ts := first + r.timestampDelta
		if appended {
			ts = s.b.MaxTimestamp()
		}
		s.check(o, i, ts, r.keyed, appended)
	}
}

// endless says whether b begins with a varint of more than five bytes. As the size of a plain record that is an exception without a
// code in Kafka; all else that is wrong with a record is an invalid one.
func endless(b []byte) bool {
	return len(b) >= 5 && b[0]&b[1]&b[2]&b[3]&b[4]&0x80 != 0
}

// check applies the topic's rules to one record.
func (s *scan) check(o *Options, i int32, ts int64, keyed, appended bool) {
	if o.Compacted && !keyed {
		message := ""
		if len(s.errs) < MaxRecordErrors {
			message = fmt.Sprintf("Compacted topic cannot accept message without key in topic partition %s-%d", o.Topic, o.Partition)
		}
		s.reject(i, false, message)
		return
	}
	if !o.LogAppendTime && ts != -1 {
		// The differences wrap as Kafka's do.
		if d := o.NowMs - ts; d > o.BeforeMaxMs || -d > o.AfterMaxMs {
			if len(s.errs) < MaxRecordErrors {
				s.reject(i, true, fmt.Sprintf("timestamp %d is not within [%d, %d]", ts, o.NowMs-o.BeforeMaxMs, o.NowMs+o.AfterMaxMs))
			} else {
				s.reject(i, true, "")
			}
		}
	} else if appended {
		s.reject(i, true, "a producer must not set the timestamp type to LogAppendTime")
	}
}

func (s *scan) reject(i int32, badTime bool, message string) {
	s.refused++
	s.badTime = s.badTime || badTime
	if len(s.errs) < MaxRecordErrors {
		s.errs = append(s.errs, RecordError{Index: i, Message: message})
	}
}

// rejection is the answer to records that broke rules: one bad timestamp decides the code.
func (s *scan) rejection() *Error {
	e := &Error{Code: protocol.InvalidRecord, Records: s.errs}
	if s.badTime {
		e.Code = protocol.InvalidTimestamp
		e.Message = "One or more records have been rejected due to invalid timestamp"
	} else {
		var first []string
		for _, r := range s.errs[:min(len(s.errs), 3)] {
			first = append(first, fmt.Sprintf("RecordError(batchIndex=%d, message='%s')", r.Index, r.Message))
		}
		e.Message = fmt.Sprintf("One or more records have been rejected due to %d record errors in total, and only showing the first three "+
			"errors at most: [%s]", s.refused, strings.Join(first, ", "))
	}
	e.detail = fmt.Sprintf("%d of %d records, the first at %d: %s", s.refused, s.b.Count(), s.errs[0].Index, s.errs[0].Message)
	return e
}

// rebuild writes the batch anew from its decompressed records, which scan has let through, with offset deltas 0..n-1.
func (s *scan) rebuild(o *Options, data []byte, target Codec) (Batch, *Error) {
	if target == Uncompressed && !s.renumber && HeaderSize+len(data) > int(o.MaxMessageBytes) {
		return nil, refuse(protocol.MessageTooLarge, "a batch of %d bytes without compression", HeaderSize+len(data))
	}
	recode := target != Uncompressed || s.b.Codec() != Uncompressed
	if recode {
		// These Kafka finds out when it writes a batch anew, and then only, by exceptions that have no code.
		switch pid := s.b.ProducerID(); {
		case pid == -1 && s.b.Transactional() || pid != -1 && (s.b.ProducerEpoch() == -1 || s.b.BaseSequence() < 0 && !s.b.Control()):
			return nil, refuse(protocol.UnknownServerError, "producer id %d, epoch %d, sequence %d", pid, s.b.ProducerEpoch(), s.b.BaseSequence())
		case s.min < -1:
			return nil, refuse(protocol.UnknownServerError, "timestamp %d", s.min)
		case target == s.b.Codec():
			return nil, refuse(protocol.UnknownServerError, "offset deltas of a compressed batch are not 0 to %d", s.b.Count()-1)
		}
	}
	if flat := recode && s.b.LogAppendTime(); s.renumber || flat {
		data = s.rewrite(data, flat)
	}
	level := DefaultLevel
	if o.Target.Recompress && target == o.Target.Codec {
		level = o.Target.Level
	}
	b := make(Batch, HeaderSize, HeaderSize+len(data)/2)
	copy(b, s.b[:HeaderSize])
	if recode {
		b[posAttributes] = 0
		b[posAttributes+1] = b[posAttributes+1]&(attrLogAppendTime|attrTransactional|attrControl) | byte(target)
	}
	b = target.Compress(b, data, level)
	if len(b) > int(o.MaxMessageBytes) {
		return nil, refuse(protocol.MessageTooLarge, "a batch of %d bytes when compressed with %s", len(b), target)
	}
	binary.BigEndian.PutUint32(b[posLength:], uint32(len(b)-lengthOverhead))
	b.SetCRC()
	return b, nil
}

// rewrite copies the records with their index as offset delta and, if flat, the batch's timestamp, which held for all.
func (s *scan) rewrite(data []byte, flat bool) []byte {
	count := s.b.Count()
	out := make([]byte, 0, len(data)+10*int(count))
	var r rawRecord
	for i := range count {
		data = r.read(data)
		r.offsetDelta = i
		if flat {
			r.timestampDelta = s.b.MaxTimestamp() - s.b.FirstTimestamp()
		}
		out = r.append(out)
	}
	return out
}
