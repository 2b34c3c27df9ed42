package group

func (o *change) upgrade(g *group) *refusal { return nil }
func (o *change) upgraded()                 {}

// endClassic ends an empty classic group.
func (s *step) endClassic(g *group) {
	s.append(func(b []byte) []byte { return appendGroupKey(b, typeGroupMetadata, g.id) }, nil)
}
