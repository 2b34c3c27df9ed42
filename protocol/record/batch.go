package record

// HeaderSize is the size of a v2 batch up to its first record.
const HeaderSize = 61

// Batch is a view of one v2 batch, or of at least its header where a function says so. Accessors do not check the length: Next does.
type Batch []byte
