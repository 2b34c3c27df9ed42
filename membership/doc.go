// Package membership says which nodes of a cluster are alive, as Serf finds it: facts, for others to judge. It fences nobody, and it does not
// change who has a vote. Its streams and packets share the port of the streams between nodes (package stream). Start with Start.
package membership
