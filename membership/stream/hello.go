package stream

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// magic comes after Prefix, and before the version: what is not one of our streams is not taken for one of another version.
var magic = [2]byte{'W', 'r'}

// Prefix is the first byte of every stream. As the first byte of a Kafka frame it would be a negative length; a TLS hello begins with 0x16.
const Prefix byte = 0xC7

// version is that of the hello. Both ends speak the same one: what comes after it is of the same version of the program, or of one that
// says so itself.
const version byte = 1

// Kind says what a stream is for.
type Kind byte

// The kinds of streams.
const (
	Raft   Kind = 1 + iota // the metadata quorum
	Gossip                 // membership
	Call                   // requests to the controller, and those of who wants to join
	Watch                  // nothing is said: its end is the end of the process
	kinds
)

var kindNames = [kinds]string{"", "raft", "gossip", "call", "watch"}

// String is the kind's name in a log.
func (k Kind) String() string {
	if k == 0 || k >= kinds {
		return "unknown"
	}
	return kindNames[k]
}

// Identity is what a node says of itself.
type Identity struct {
	Cluster     string   // the id of its cluster; "" while it does not know that
	Quorum      string   // what the first voters were told to be, in one form; "" where they were not told
	Node        int32    // -1: it has no id yet
	Incarnation [16]byte // of the process
}

// Refused is the reason that the other end gave.
type Refused struct{ Reason string }

// Error is the reason.
func (r *Refused) Error() string { return "refused: " + r.Reason }

// errNoHello ends a stream that does not begin as one of ours.
var errNoHello = errors.New("it does not begin like a stream of this cluster")

// The hello: Prefix, magic, version, uint16 length, then kind, flags, nonce, node, incarnation, and two strings with a length byte each. The
// answer: status, magic, version, uint16 length, then for status 0 the same but for the kind, and with a key the proof; else the reason.
const (
	nonceSize = 16
	fixedSize = 2 + nonceSize + 4 + 16
	maxHello  = fixedSize + 2*256 + proofSize
	proofSize = sha256.Size

	keyed byte = 1 // flag: this end has a key

	statusWelcome byte = 0
	statusRefused byte = 1
)

// hello is one end's part of the handshake.
type hello struct {
	kind  Kind
	flags byte
	nonce [nonceSize]byte
	who   Identity
}

func newHello(kind Kind, key []byte, who Identity) *hello {
	h := &hello{kind: kind, who: who}
	if len(key) > 0 {
		h.flags = keyed
	}
	rand.Read(h.nonce[:])
	return h
}

// frame is the hello behind a first byte.
func (h *hello) frame(first byte) []byte {
	b := []byte{first, magic[0], magic[1], version, 0, 0, byte(h.kind), h.flags}
	b = append(b, h.nonce[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(h.who.Node))
	b = append(b, h.who.Incarnation[:]...)
	for _, s := range []string{h.who.Cluster, h.who.Quorum} {
		s = s[:min(len(s), 255)]
		b = append(append(b, byte(len(s))), s...)
	}
	setLength(b)
	return b
}

// headSize is what comes before the body of a frame.
const headSize = 1 + len(magic) + 1 + 2

// setLength writes the length of what comes after the head.
func setLength(b []byte) {
	binary.BigEndian.PutUint16(b[headSize-2:], uint16(len(b)-headSize))
}

// readFrame reads what frame or refusal wrote, without its first byte, which was read before.
func readFrame(r io.Reader) ([]byte, error) {
	var head [headSize - 1]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	if [2]byte(head[:2]) != magic {
		return nil, errNoHello
	}
	if head[2] != version {
		return nil, fmt.Errorf("it speaks version %d, this node speaks %d", head[2], version)
	}
	n := int(binary.BigEndian.Uint16(head[3:]))
	if n > maxHello {
		return nil, errNoHello
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

func parseHello(b []byte) (*hello, error) {
	if len(b) < fixedSize {
		return nil, errNoHello
	}
	h := &hello{kind: Kind(b[0]), flags: b[1]}
	b = b[2:]
	b = b[copy(h.nonce[:], b):]
	h.who.Node = int32(binary.BigEndian.Uint32(b))
	b = b[4:]
	b = b[copy(h.who.Incarnation[:], b):]
	for _, s := range []*string{&h.who.Cluster, &h.who.Quorum} {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return nil, errNoHello
		}
		*s = string(b[1 : 1+int(b[0])])
		b = b[1+int(b[0]):]
	}
	if len(b) > 0 {
		return nil, errNoHello
	}
	return h, nil
}

// refusal is the answer that says why not.
func refusal(reason string) []byte {
	reason = reason[:min(len(reason), maxHello)]
	b := append([]byte{statusRefused, magic[0], magic[1], version, 0, 0}, reason...)
	setLength(b)
	return b
}

// proof shows that who makes it has the key, for these two hellos only.
func proof(key []byte, side string, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(side))
	for _, p := range parts {
		m.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
		m.Write(p)
	}
	return m.Sum(nil)
}

// mismatch says why two nodes do not belong together; "" where they do. mine is the one that says it.
func mismatch(mine, other Identity, kind Kind) string {
	switch {
	case mine.Cluster != "" && other.Cluster != "":
		if mine.Cluster != other.Cluster {
			return fmt.Sprintf("this node belongs to cluster %s, not to %s", mine.Cluster, other.Cluster)
		}
		return ""
	case kind == Call: // who asks to join knows no cluster yet
		return ""
	case mine.Quorum == "" || mine.Quorum != other.Quorum:
		return "one of the two nodes is in no cluster yet, and they were not started with the same controller.quorum.voters"
	}
	return ""
}
