// Package ratelimit is a filter that holds back clients, by client id, that send more requests or move more bytes, in both directions
// together, than they may. Nothing is refused: who is too fast waits, as with Kafka's own quotas, and what comes behind on the same connection too.
package ratelimit
