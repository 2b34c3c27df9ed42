// Package record is Kafka's record batch, message format v2: a view of the header, validation, iteration, compression.
//
// It works on slices of the frame or of the log and never owns them. It is not a codec for whole requests (that is kmsg) and
// does no I/O. Start reading at batch.go, then validate.go.
package record
