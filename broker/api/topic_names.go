package api

import "fmt"

// maxTopicName is the longest name of a topic; directories are named by it, with a partition number behind.
const maxTopicName = 249

// metadataTopic is the log of Kafka's controllers: nobody may create a topic of that name.
const metadataTopic = "__cluster_metadata"

// topicNameProblem says in Kafka's words what is wrong with a topic's name, "" for nothing (org.apache.kafka.common.internals.Topic).
func topicNameProblem(name string) string {
	switch {
	case name == "":
		return "Topic name is invalid: the empty string is not allowed"
	case name == "." || name == "..":
		return fmt.Sprintf("Topic name is invalid: '%s' is not allowed", name)
	case len(name) > maxTopicName:
		return fmt.Sprintf("Topic name is invalid: the length of '%s' is longer than the max allowed length %d", name, maxTopicName)
	}
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return fmt.Sprintf("Topic name is invalid: '%s' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", name)
		}
	}
	return ""
}
