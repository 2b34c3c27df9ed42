package record

// Codec is the compression of a batch: the lowest three bits of its attributes.
type Codec int8

// The codecs.
const (
	Uncompressed Codec = 0
	Gzip         Codec = 1
	Snappy       Codec = 2
	LZ4          Codec = 3
	Zstd         Codec = 4
)

// codecNames are Kafka's names, by codec.
var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// Valid says whether there is such a codec.
func (c Codec) Valid() bool { return c >= 0 && int(c) < len(codecNames) }

// String returns Kafka's name of the codec.
func (c Codec) String() string {
	if !c.Valid() {
		return "unknown"
	}
	return codecNames[c]
}
