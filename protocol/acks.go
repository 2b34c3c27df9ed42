package protocol

import "fmt"

// ProduceAcks reads the acks of a Produce request from the beginning of its frame, without what comes behind. With acks=0 there is no
// answer, so whoever forwards requests has to know them. Errors wrap ErrMalformed; the beginning may have been too short.
func ProduceAcks(frame []byte) (int16, error) {
	h, body, err := ParseHeader(frame)
	if err != nil {
		return 0, err
	}
	r := reader{b: body}
	if h.Version >= 3 { // the transactional id
		if Flexible(h.Key, h.Version) {
			r.skip(uint64(max(r.uvarint(), 1)) - 1)
		} else {
			r.skip(uint64(max(r.int16(), 0)))
		}
	}
	acks := r.int16()
	if r.bad || h.Key != 0 {
		return 0, fmt.Errorf("%w: a Produce request ends before its acks", ErrMalformed)
	}
	return acks, nil
}
