package api

import "github.com/twmb/franz-go/pkg/kmsg"

// markerPlaces finds or makes a topic's place in the response: Kafka has one for each producer, however many markers name it.
type markerPlaces struct {
	resp      *kmsg.WriteTxnMarkersResponse
	producers map[int64]int
	topics    map[markerTopic]int
}

type markerTopic struct {
	producer int
	topic    string
}

func (p *markerPlaces) of(producer int64, topic string) (i, j int) {
	i, ok := p.producers[producer]
	if !ok {
		i = len(p.resp.Markers)
		p.producers[producer] = i
		p.resp.Markers = append(p.resp.Markers, kmsg.WriteTxnMarkersResponseMarker{ProducerID: producer})
	}
	m := &p.resp.Markers[i]
	if j, ok = p.topics[markerTopic{i, topic}]; !ok {
		j = len(m.Topics)
		p.topics[markerTopic{i, topic}] = j
		m.Topics = append(m.Topics, kmsg.WriteTxnMarkersResponseMarkerTopic{Topic: topic})
	}
	return i, j
}
