package config

import "testing"

// A start resolves once; an idle broker with 10,000 topics compiles as many configurations.
func BenchmarkResolve(b *testing.B) {
	file, _ := FromProperties("f", []byte("node.id=1\nnum.partitions=3\nlog.dirs=/a\nlog.retention.hours=24\n"))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Resolve(file); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTopicConfig(b *testing.B) {
	s, _, _ := Resolve()
	l := Layers{Static: s, Topic: map[string]string{"retention.ms": "5"}}
	b.ReportAllocs()
	for b.Loop() {
		l.TopicConfig()
	}
}

func BenchmarkTopicWith(b *testing.B) {
	base := (&Layers{}).TopicConfig()
	set := map[string]string{"retention.ms": "5"}
	b.ReportAllocs()
	for b.Loop() {
		base.With(set)
	}
}

func BenchmarkDescribeTopic(b *testing.B) {
	l := Layers{}
	b.ReportAllocs()
	for b.Loop() {
		l.DescribeTopic(nil, true, true)
	}
}
