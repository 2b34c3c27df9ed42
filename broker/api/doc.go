// Package api has one file per Kafka API key, NN_name.go, each with its handler, and the one table they are registered in.
//
// A handler authorizes, validates, asks one domain package and builds the response. It may use the pure packages (config,
// controller, broker/partition) for their types; everything that owns a lock, a socket or a file comes as a small interface that
// is declared here. Start reading at table.go, then server.go.
package api
