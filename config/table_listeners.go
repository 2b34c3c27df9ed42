package config

// listenersTable holds where the broker listens and what it tells clients, sorted by name.
var listenersTable = []Setting{
	{Name: "advertised.listeners", Type: List, Null: true, Honoured: true, Rule: &nonEmpty,
		Doc: "The addresses that clients and brokers are told to connect to, NAME://host:port for each listener. Not set: those of listeners."},
	{Name: "controller.listener.names", Type: List, Null: true, Honoured: true, Rule: &nonEmpty,
		Doc: "Names of the listeners that controllers use. They are not shown to clients."},
	{Name: "early.start.listeners", Type: List, Null: true,
		Doc: "Listeners that open before the authorizer is ready."},
	{Name: "inter.broker.listener.name", Type: String, Null: true, Honoured: true,
		Doc: "The listener that brokers use among themselves. Not set: the one whose name is security.inter.broker.protocol, or the only one there is."},
	{Name: "listener.security.protocol.map", Type: String, Default: "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Update: PerBroker, Honoured: true,
		Doc: "The security protocol of each listener name, NAME:PROTOCOL."},
	{Name: "listeners", Type: List, Default: "PLAINTEXT://127.0.0.1:9092,PLAINTEXT://[::1]:9092", Update: PerBroker, Honoured: true, Rule: &nonEmpty,
		Doc: "The addresses to listen on, NAME://host:port. An empty host is all interfaces, port 0 a free one. Not set: loopback only."},
	{Name: "security.inter.broker.protocol", Type: String, Default: "PLAINTEXT", Honoured: true, Rule: &Rule{Words: []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}},
		Doc: "The security protocol between brokers, where inter.broker.listener.name is not set."},
}
