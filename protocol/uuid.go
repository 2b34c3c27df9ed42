package protocol

import (
	"encoding/base64"
	"fmt"
)

// UUID is Kafka's Uuid: topic ids, directory ids, incarnation ids, cluster ids. The zero value means none.
type UUID [16]byte

// String returns Kafka's form: URL-safe base64 without padding, 22 characters.
func (u UUID) String() string { return base64.RawURLEncoding.EncodeToString(u[:]) }

// ParseUUID reads Kafka's form. The error wraps ErrMalformed.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != len(u) {
		return u, fmt.Errorf("%w: %q is not a uuid", ErrMalformed, s)
	}
	copy(u[:], b)
	return u, nil
}
