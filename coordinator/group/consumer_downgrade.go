package group

func (s *step) mayDowngrade(c *consumerGroup, gone []*consumerMember) bool      { return false }
func (s *step) mayDowngradeFor(c *consumerGroup, replaced *consumerMember) bool { return false }
func (s *step) downgrade(g *group, gone []*consumerMember, joining *consumerMember, rebalance bool) {
}
