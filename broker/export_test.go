package broker

// Kill closes one broker without a word to the others, as far as a process can do that to a part of itself.
func (c *Cluster) Kill(id int32) error {
	if b := c.Broker(id); b != nil {
		b.abrupt.Store(true)
	}
	return c.Stop(id)
}

// Retired says whether the broker's node had a vote and was relieved of it.
func (b *Broker) Retired() bool { return b.node.Retired() }
