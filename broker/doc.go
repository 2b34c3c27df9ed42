// Package broker is the server: listeners, connections, dispatch, and the wiring of everything below it.
//
// broker.Start is also the library: the same broker, or several of them, inside a Go program or test. Start reading at
// broker.go, then conn.go.
package broker
