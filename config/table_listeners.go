package config

// listenersTable holds where the broker listens and what it tells clients, sorted by name.
var listenersTable = []Setting{
	{Name: "advertised.listeners", Type: List, Null: true, Rule: &nonEmpty,
		Doc: ""},
	{Name: "controller.listener.names", Type: List, Null: true, Rule: &nonEmpty,
		Doc: ""},
	{Name: "early.start.listeners", Type: List, Null: true,
		Doc: ""},
	{Name: "inter.broker.listener.name", Type: String, Null: true,
		Doc: ""},
	{Name: "listener.security.protocol.map", Type: String, Default: "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Update: PerBroker,
		Doc: ""},
	{Name: "listeners", Type: List, Default: "PLAINTEXT://127.0.0.1:9092,PLAINTEXT://[::1]:9092", Update: PerBroker, Rule: &nonEmpty,
		Doc: ""},
	{Name: "security.inter.broker.protocol", Type: String, Default: "PLAINTEXT", Rule: &Rule{Words: []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}},
		Doc: ""},
}
