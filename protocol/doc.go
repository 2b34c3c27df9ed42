// Package protocol is Kafka's wire without any I/O: frames, request headers, the table of API keys, error codes.
//
// The codecs of the messages are kmsg's; what is here is what kmsg leaves to a server. It knows nothing of brokers, logs or
// sockets, which is what lets the proxy stand on it. Start reading at apis.go (which keys and versions there are, who answers
// them), then header.go (from a frame to a decoded request and back).
package protocol
