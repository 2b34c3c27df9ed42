// Package fetch is what a Fetch request needs beside the log: fetch sessions (KIP-227) and the long poll.
//
// It reads no log and knows no connection. Start reading at session.go.
package fetch
