// Command weir is the Kafka-compatible broker. This file only starts; sub-commands, flags and signals are beside it.
package main

func main() {}
