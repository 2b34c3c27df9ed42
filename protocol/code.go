package protocol

import "strconv"

// String returns Kafka's name of the code, NOT_LEADER_OR_FOLLOWER for example.
func (c Code) String() string {
	if s, ok := codeNames[c]; ok {
		return s
	}
	return "UNKNOWN_CODE_" + strconv.Itoa(int(c))
}

// Error makes a Code an error. None is not one: never return it as an error.
func (c Code) Error() string { return c.String() }

// Retriable says whether a client may send the same request again after this code.
func (c Code) Retriable() bool { return retriable[c] }
