// Package policy is a filter that holds new topics, and what is produced, to rules: partitions, replication, retention and names of topics, acks and
// compression of records. A topic that breaks one is refused with POLICY_VIOLATION and the rule in its message; the others of the same request are
// made. Settings that are changed later, and partitions that are added, are held to the same.
package policy
