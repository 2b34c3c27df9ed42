// Package filter is what a filter of the proxy is: hooks on requests and responses, by API key and by kmsg's types.
//
// It knows no sockets: a filter sees one Exchange at a time, may change it, answer it, refuse it or hold it back. Each filter has a
// folder of its own below this one. Start reading at Filter, then Chain, which runs several of them.
package filter
