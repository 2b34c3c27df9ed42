// Package audit is a filter that writes a line of JSON for each exchange: who asked for what, how long it took, how large it was, and with
// which code it was refused here. It sees headers only, so it costs no decoding. A line that cannot be written is counted, and holds nobody.
package audit
