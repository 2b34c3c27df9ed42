// Package security loads and checks what a server and a client prove themselves with: TLS certificates so far. It opens no socket and knows
// neither broker nor proxy.
//
// Start reading at TLSFiles.
package security
