package config

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// env resolves variables and returns what they set, as key=value texts in order of keys.
func env(t *testing.T, variables ...string) (string, []Warning) {
	t.Helper()
	files := func(path string) ([]byte, error) {
		if path == "/run/secret" {
			return []byte("hush\n"), nil
		}
		return nil, errors.New("no such file")
	}
	source, err := FromEnv(variables, files)
	if err != nil {
		t.Fatal(err)
	}
	s, warnings, err := Resolve(source)
	if err != nil {
		t.Fatal(err)
	}
	var set []string
	for _, e := range s.set {
		set = append(set, e.key+"="+e.value)
	}
	return strings.Join(set, " "), warnings
}

func TestEnvNames(t *testing.T) {
	tests := []struct{ variable, want string }{
		{"KAFKA_LOG_RETENTION_MS=5", "log.retention.ms=5"},
		{"KAFKA_CFG_LOG_RETENTION_MS=5", "log.retention.ms=5"},
		{"KAFKA_VALID___PROPERTY__ALL_CASES=x", "valid-property_all.cases=x"},
		{"KAFKA_KAFKA_METRICS_REPORTERS=x", "kafka.metrics.reporters=x"},
		{"KAFKA_LISTENER_NAME_SECURE_SCRAM-SHA-512_SASL_JAAS_CONFIG=a b;", "listener.name.secure.scram-sha-512.sasl.jaas.config=a b;"},
		{"KAFKA_LISTENER_NAME_SASL__SSL_SSL_KEYSTORE_LOCATION=/k", "listener.name.sasl_ssl.ssl.keystore.location=/k"},
		{"KAFKA_CFG_LISTENER_NAME_SASL_SSL_SSL_KEYSTORE_LOCATION=/k", "listener.name.sasl_ssl.ssl.keystore.location=/k"},
		{"KAFKA_CFG_LISTENER_NAME_SASL_PLAINTEXT_SASL_ENABLED_MECHANISMS=PLAIN", "listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN"},
		{"CLUSTER_ID=4L6g3nShT-eMCtK--X86sw", "cluster.id=4L6g3nShT-eMCtK--X86sw"},
		{"KAFKA_CLUSTER_ID=4L6g3nShT-eMCtK--X86sw", "cluster.id=4L6g3nShT-eMCtK--X86sw"},
		{"KAFKA_KRAFT_CLUSTER_ID=4L6g3nShT-eMCtK--X86sw", "cluster.id=4L6g3nShT-eMCtK--X86sw"},
		{"KAFKA_BROKER_ID=3", "broker.id=3 node.id=3"},
		{"KAFKA_SSL_KEY_PASSWORD_FILE=/run/secret", "ssl.key.password=hush"},
		{"KAFKA_NOT_KNOWN_FILE=/run/secret", "not.known.file=/run/secret"},
		{"KAFKA_LISTENER_NAME_X_PLAIN_SASL_JAAS_CONFIG_FILE=/run/secret", "listener.name.x.plain.sasl.jaas.config=hush"},
		{"KAFKA_LOG4J_ROOT_LOGLEVEL=INFO", ""},
		{"KAFKA_HEAP_OPTS=-Xmx1G", ""},
		{"KAFKA_OPTS=-Dx=y", ""},
		{"KAFKA_JMX_HOSTNAME=h", ""},
		{"KAFKA_JMX_PORT=9999", "jmx.port=9999"},
		{"kafka_log_retention_ms=5", ""},
		{"KAFKA=1", ""},
		{"KAFKA_=1", ""},
		{"KAFKA_CFG_=1", ""},
		{"LOG_RETENTION_MS=5", ""},
		{"XKAFKA_LOG_RETENTION_MS=5", ""},
		{"KAFKA_LOG_RETENTION_MS", ""},
		{"KAFKA_METRIC_REPORTERS=", "metric.reporters="},
		{"KAFKA_SUPER_USERS=User:a;User:b=c", "super.users=User:a;User:b=c"},
	}
	for _, test := range tests {
		if got, _ := env(t, test.variable); got != test.want {
			t.Errorf("%s: %q, want %q", test.variable, got, test.want)
		}
	}
}

func TestEnvListeners(t *testing.T) {
	tests := []struct{ name, variables, want string }{
		{"from advertised", "KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://kafka:9092,OUT://[::1]:9094 KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=PLAINTEXT:PLAINTEXT,OUT:PLAINTEXT",
			"PLAINTEXT://0.0.0.0:9092,OUT://0.0.0.0:9094"},
		{"empty counts as not set", "KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://kafka:9092 KAFKA_LISTENERS=", "PLAINTEXT://0.0.0.0:9092"},
		{"set stays", "KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://kafka:9092 KAFKA_LISTENERS=PLAINTEXT://:9093", "PLAINTEXT://:9093"},
		{"bitnami", "KAFKA_CFG_ADVERTISED_LISTENERS=PLAINTEXT://kafka:9092", "PLAINTEXT://0.0.0.0:9092"},
		{"both empty", "KAFKA_ADVERTISED_LISTENERS= KAFKA_LISTENERS=", "PLAINTEXT://127.0.0.1:9092,PLAINTEXT://[::1]:9092"},
		{"controller only", "KAFKA_PROCESS_ROLES=controller KAFKA_ADVERTISED_LISTENERS= KAFKA_LISTENERS=CONTROLLER://:9093 KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER",
			"CONTROLLER://:9093"},
	}
	for _, test := range tests {
		source, err := FromEnv(strings.Split(test.variables, " "), nil)
		if err != nil {
			t.Fatal(err)
		}
		s, _, err := Resolve(source)
		if err != nil || s.String("listeners") != test.want {
			t.Errorf("%s: %v, %v, want %s", test.name, s, err, test.want)
		}
	}
}

// A controller has no advertised listeners to take its listeners from.
func TestEnvControllerOnly(t *testing.T) {
	source, err := FromEnv([]string{"KAFKA_PROCESS_ROLES=controller", "KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://h:1"}, nil)
	if err != nil || source.last("listeners") != nil || source.last("advertised.listeners") == nil {
		t.Errorf("%+v %v", source, err)
	}
}

// KAFKA_ counts more than KAFKA_CFG_, in whatever order they stand.
func TestEnvOrder(t *testing.T) {
	for range 8 {
		variables := []string{"KAFKA_CFG_AUTO_CREATE_TOPICS_ENABLE=true", "KAFKA_AUTO_CREATE_TOPICS_ENABLE=false", "CLUSTER_ID=4L6g3nShT-eMCtK--X86sw", "PATH=/bin"}
		rand.Shuffle(len(variables), func(i, j int) { variables[i], variables[j] = variables[j], variables[i] })
		if got, _ := env(t, variables...); got != "auto.create.topics.enable=false cluster.id=4L6g3nShT-eMCtK--X86sw" {
			t.Errorf("%v: %s", variables, got)
		}
	}
}

func TestEnvFileMissing(t *testing.T) {
	_, err := FromEnv([]string{"KAFKA_SSL_KEY_PASSWORD_FILE=/nowhere"}, func(string) ([]byte, error) { return nil, errors.New("no such file") })
	if err == nil || !strings.Contains(err.Error(), "KAFKA_SSL_KEY_PASSWORD_FILE") {
		t.Error(err)
	}
}

// Every broker setting of the table can be set by the variable that Kafka's image would take for it, and no other key appears.
func TestEnvReachesEverySetting(t *testing.T) {
	escape := strings.NewReplacer("-", "___", "_", "__", ".", "_")
	for _, s := range Settings(BrokerScope) {
		for _, prefix := range []string{"KAFKA_", "KAFKA_CFG_"} {
			variable := prefix + strings.ToUpper(escape.Replace(s.Name))
			if key, ok := envKey(variable); !ok || key != s.Name {
				t.Errorf("%s is %q, want %s", variable, key, s.Name)
			}
		}
	}
}

// Random keys of dots, hyphens and underscores that stand alone survive the way there and back.
func TestEnvRandomKeys(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	escape := strings.NewReplacer("-", "___", "_", "__", ".", "_")
	for range 2000 {
		var key strings.Builder
		for i := range 1 + random.IntN(5) {
			if i > 0 {
				key.WriteByte("._-"[random.IntN(3)])
			}
			for range 1 + random.IntN(3) {
				key.WriteByte(byte('a' + random.IntN(26)))
			}
		}
		variable := "KAFKA_" + strings.ToUpper(escape.Replace(key.String()))
		got, ok := envKey(variable)
		excluded := false
		for _, n := range notSettings {
			excluded = excluded || n == variable
		}
		if strings.HasPrefix(variable, "KAFKA_CFG_") || excluded {
			continue
		}
		if !ok || got != key.String() {
			t.Fatalf("seed %d: %s is %q, want %q", seed, variable, got, key.String())
		}
	}
}

func ExampleFromEnv() {
	source, _ := FromEnv([]string{"KAFKA_LOG_RETENTION_HOURS=1"}, nil)
	s, _, _ := Resolve(source)
	fmt.Println(s.String("log.retention.hours"), s.Origin("log.retention.hours"))
	// Output: 1 KAFKA_LOG_RETENTION_HOURS
}
