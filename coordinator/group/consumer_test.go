package group

import "fmt"

// consumerCommands are the commands of scripts for consumer groups.
var consumerCommands = map[string]func(s *script, a args){}

// hardConsumer describes the hard state of a consumer group.
func hardConsumer(*consumerGroup) string { return " consumer" }

// describeConsumerRecord describes a record of a consumer group.
func describeConsumerRecord(head string, k *recordKey, value []byte) string {
	return fmt.Sprintf("%s %x", head, value)
}
