// Package tools runs programs that need more than Go against a broker: kcat (librdkafka) and the command line tools that come
// with Apache Kafka (Java, jars by kafka/kafka.sh). It has only tests: make compat runs them.
package tools
