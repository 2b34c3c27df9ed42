// Package buffer keeps byte slices for use again: frames on their way in, records on their way to a file. It knows nothing of what
// is in them, and bounds nothing that is in use: who takes a buffer counts it where that matters.
//
// Start reading at Get.
package buffer
