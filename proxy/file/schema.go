package file

// document is a file. Names on the wire are in the tags; file_test.go compares them with docs/proxy.md.
type document struct {
	Clusters []cluster `yaml:"clusters"`
}

type cluster struct {
	Name        string   `yaml:"name"`
	Upstream    []string `yaml:"upstream"`
	Listen      string   `yaml:"listen"`
	Mode        string   `yaml:"mode"` // ports, single, sni
	BasePort    int      `yaml:"base-port"`
	Advertise   string   `yaml:"advertise"`
	PassUnknown bool     `yaml:"pass-unknown"`
	TLS         *tls     `yaml:"tls"`
	UpstreamTLS *tls     `yaml:"upstream-tls"`
	Filters     []one    `yaml:"filters"`
}

type tls struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	CA   string `yaml:"ca"`
}
