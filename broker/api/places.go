package api

import "weir/protocol"

// topicPlaces says where in a list of an answer each topic is. A request may name a hundred thousand topics, so they are not searched.
type topicPlaces struct {
	at map[topicPlace]int
}

type topicPlace struct {
	name string
	id   protocol.UUID
}

// of returns the place of a topic in a list of n. It is n for a topic that the caller has to add there.
func (p *topicPlaces) of(name string, id [16]byte, n int) int {
	if p.at == nil {
		p.at = make(map[topicPlace]int)
	}
	key := topicPlace{name, id}
	i, known := p.at[key]
	if !known {
		i = n
		p.at[key] = n
	}
	return i
}
