package controller

import (
	"errors"
	"strings"

	"weir/config"
	"weir/protocol"
)

// outcome is what happens to one topic or resource of a request: a code and Kafka's words for it. The zero value is success.
type outcome struct {
	code    protocol.Code
	message string // "": null
}

func (o outcome) failed() bool { return o.code != protocol.None }

// text is the message as responses carry it.
func (o outcome) text() *string {
	if o.message == "" {
		return nil
	}
	return &o.message
}

// The outcomes that stand for a whole request: what it asks for is too much for one batch.
var (
	tooManyRecords = outcome{protocol.PolicyViolation, "Unable to perform excessively large batch operation."}
	tooManyNew     = outcome{protocol.PolicyViolation, "Excessively large number of partitions per request."}
	tooManyMore    = outcome{protocol.PolicyViolation, "Excessively large number of additional partitions per request."}
)

// settingOutcome turns an error of package config into the outcome that Kafka gives.
func settingOutcome(err error) outcome {
	var request *config.InvalidRequest
	switch {
	case err == nil:
		return outcome{}
	case errors.As(err, &request):
		return outcome{protocol.InvalidRequest, request.Message}
	}
	return outcome{protocol.InvalidConfig, err.Error()}
}

const maxTopicName = 249

// metadataTopic is KRaft's own log, which nobody may create here either.
const metadataTopic = "__cluster_metadata"

// checkTopicName is Kafka's Topic.validate.
func checkTopicName(name string) outcome {
	why := ""
	switch {
	case name == "":
		why = "the empty string is not allowed"
	case name == "." || name == "..":
		why = "'" + name + "' is not allowed"
	case len(name) > maxTopicName:
		why = "the length of '" + name + "' is longer than the max allowed length 249"
	case strings.IndexFunc(name, func(r rune) bool { return !legalInName(r) }) >= 0:
		why = "'" + name + "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
	default:
		return outcome{}
	}
	return outcome{protocol.InvalidTopicException, "Topic name is invalid: " + why}
}

func legalInName(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-'
}
