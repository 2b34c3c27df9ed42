package group

// hardConsumer describes the hard state of a consumer group.
func hardConsumer(c *consumerGroup) string { return " consumer" }
