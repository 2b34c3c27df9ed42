// Package chaos runs clients for minutes while the broker is killed and while they themselves come, go and die: the suite of
// franz-go that chains groups and transactions, a hundred consumers in ten groups, and a bank. It has only tests: make compat runs
// them in a short form, and the variables that each test names make them long. All of it runs against Apache Kafka too.
package chaos
