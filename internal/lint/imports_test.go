package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// rule says which packages of ours a package may import, and what the house would lose if it imported another one.
type rule struct {
	may []string
	ban string
}

// oneFilter is the ban of each filter of the proxy.
const oneFilter = "a filter knows messages and what a filter is; it knows no other filter, and not the proxy"

// mayImport is the import picture of docs/ARCHITECTURE.md. A package that is not here fails: decide where it stands. Tests
// may import what they like; the compiler forbids cycles.
var mayImport = map[string]rule{
	"cmd/weir": {
		[]string{"broker", "proxy", "proxy/file", "config", "protocol"},
		"main only starts things: what it would reach around broker.Start, a program that uses the library could not do",
	},

	"protocol": {
		nil,
		"the wire stands on nothing of ours, or the proxy could not stand on it alone",
	},
	"protocol/record": {
		[]string{"protocol"},
		"a batch knows neither log nor topic: the log, the partition and the proxy all read it",
	},
	"config": {
		nil,
		"settings are the bottom of the house: everything imports them",
	},

	"wal": {
		[]string{"wal/vfs", "protocol/record", "internal/buffer"},
		"the log knows batches and nothing else of Kafka; policies come to it as values",
	},
	"wal/vfs": {
		nil,
		"a file system knows no log",
	},

	"broker/partition": {
		[]string{"protocol", "protocol/record", "config"},
		"the rules of a partition run in a simulation: its log is an interface, its shell is broker/replica",
	},
	"broker/partition/memlog": {
		[]string{"broker/partition", "protocol", "protocol/record"},
		"the log in memory stands in for wal and must not need it",
	},
	"broker/replica": {
		[]string{"broker/partition", "wal", "wal/vfs", "protocol", "protocol/record", "config", "controller"},
		"the shell carries out effects; it knows no connection, no handler and no Raft",
	},
	"broker/fetch": {
		[]string{"protocol", "protocol/record", "broker/partition", "config"},
		"sessions and long polls know neither connection nor log",
	},
	"broker/peer": {
		[]string{"protocol"},
		"a connection to another broker carries requests: what they mean, and where that broker is, is the wiring's to know",
	},
	"broker/api": {
		[]string{"protocol", "protocol/record", "config", "controller", "broker/partition", "broker/fetch", "coordinator", "coordinator/group", "coordinator/txn"},
		"a handler takes types from pure packages; whatever owns a lock, a socket or a file comes as an interface of broker/api",
	},
	"broker": {
		[]string{
			"broker/api", "broker/replica", "broker/fetch", "broker/partition", "broker/peer", "coordinator", "coordinator/group", "coordinator/txn",
			"controller", "controller/raft", "membership", "membership/stream", "security", "config", "protocol", "protocol/record", "wal", "wal/vfs", "internal/buffer",
		},
		"the wiring knows all of them; the proxy is another program",
	},

	"controller": {
		[]string{"protocol", "config"},
		"metadata is decided by arguments alone: consensus, logs and sockets are around it",
	},
	"controller/raft": {
		[]string{"controller", "protocol", "config", "wal/vfs"},
		"consensus carries records; it knows no partition, no connection and no membership",
	},

	"coordinator":                {nil, "the runtime's log is an interface; it knows nothing of Kafka's groups or transactions"},
	"coordinator/group":          {[]string{"coordinator", "coordinator/group/assignor", "protocol", "config"}, "group rules run in virtual time: no log, no socket, no metadata but by argument"},
	"coordinator/group/assignor": {nil, "who reads what is a function of members, topics and the last assignment alone"},
	"coordinator/txn":            {[]string{"coordinator", "protocol", "config"}, "transaction rules run in virtual time: no log, no socket, no metadata but by argument"},
	"membership":                 {nil, "Serf reports facts in its own words; what they mean is decided by the controller"},
	"membership/stream":          {nil, "streams between nodes know who is there, and nothing of what is said"},
	"security":                   {[]string{"protocol"}, "mechanisms and ACLs are shared with the proxy: no broker, no settings, no sockets"},
	"proxy":                      {[]string{"proxy/filter", "protocol", "security", "config", "internal/buffer"}, "the proxy stands before any Kafka cluster: it has no storage and needs no broker"},
	"proxy/file":                 {[]string{"proxy", "proxy/filter", "proxy/filter/access", "proxy/filter/audit", "proxy/filter/chaos", "proxy/filter/policy", "proxy/filter/ratelimit", "proxy/filter/readonly", "security"}, "it knows all filters by name so that the proxy knows none"},
	"proxy/filter/access":        {[]string{"protocol", "proxy/filter"}, oneFilter},
	"proxy/filter/audit":         {[]string{"protocol", "proxy/filter"}, oneFilter},
	"proxy/filter/chaos":         {[]string{"protocol", "proxy/filter"}, oneFilter},
	"proxy/filter/policy":        {[]string{"protocol", "proxy/filter"}, oneFilter},
	"proxy/filter/ratelimit":     {[]string{"proxy/filter"}, oneFilter},
	"proxy/filter/readonly":      {[]string{"protocol", "proxy/filter"}, oneFilter},
	"security/securitytest":      {nil, "it makes certificates for tests and knows nothing else"},
	"proxy/filter":               {[]string{"protocol"}, "a filter sees messages: it knows no socket, no frame and no other filter"},

	"internal/buffer": {nil, "it keeps bytes and knows nothing of what is in them"},
	"internal/lint":   {nil, "it reads the source of the others"},
	"internal/sim":    {[]string{"broker/partition", "broker/partition/memlog", "controller", "coordinator", "coordinator/group", "coordinator/txn", "protocol", "protocol/record", "config"}, "only pure parts run in a simulation"},

	"bench": {[]string{"broker", "config", "protocol", "protocol/record"}, "a benchmark uses what a user of the library has"},
}

// mayUse says who may import a library, and why nobody else. A library that is not here fails: it also wants a line in
// docs/decisions/0001-libraries.md.
var mayUse = map[string]rule{
	"github.com/twmb/franz-go/pkg/kmsg": {
		[]string{"protocol", "broker/api", "broker", "broker/fetch", "broker/peer", "controller", "controller/raft", "coordinator/group", "coordinator/txn", "proxy", "internal/sim", "proxy/filter", "proxy/filter/policy", "proxy/filter/readonly"},
		"messages of the wire end at the handlers; logs and partitions know batches",
	},
	"github.com/tidwall/wal": {
		[]string{"wal", "controller/raft"},
		"its traps are hidden in wal, and in the one log store of controller/raft",
	},
	"github.com/hashicorp/raft": {
		[]string{"controller/raft"},
		"consensus is behind one package",
	},
	"github.com/hashicorp/serf": {
		[]string{"membership"},
		"who is alive is found in one package, and reported as facts",
	},
	"github.com/hashicorp/memberlist": {
		[]string{"membership"},
		"Serf stands on it, and its streams and packets are ours",
	},
	"github.com/hashicorp/go-hclog": {
		[]string{"controller/raft", "membership"},
		"it is the logger of hashicorp's libraries; ours is slog",
	},
	"github.com/hashicorp/go-metrics": {
		[]string{"controller/raft", "membership"},
		"it is only there to be told to keep nothing",
	},
	"github.com/klauspost/compress": {
		[]string{"protocol/record"},
		"compression belongs to record batches",
	},
	"github.com/pierrec/lz4/v4": {
		[]string{"protocol/record"},
		"compression belongs to record batches",
	},
	"github.com/magiconair/properties": {
		[]string{"config"},
		"properties text is read in one place",
	},
	"go.yaml.in/yaml/v3": {
		[]string{"proxy/file"},
		"YAML is read in one place",
	},
	"github.com/spf13/cobra": {
		[]string{"cmd/weir"},
		"flags end in main",
	},
	"golang.org/x/sys": {
		[]string{"wal", "wal/vfs", "broker", "broker/replica"},
		"system calls belong to files and sockets",
	},
	"github.com/cockroachdb/datadriven": {nil, "it is for tests"},
	"github.com/pmezard/go-difflib":     {nil, "it is for tests"},
}

// importProblems holds mayImport and mayUse.
func importProblems(t *tree) []string {
	var out []string
	unlisted := map[string]bool{}
	for _, f := range t.files {
		if !f.module {
			continue
		}
		from := f.dir()
		r, ok := mayImport[from]
		if !ok && !unlisted[from] {
			unlisted[from] = true
			out = append(out, fmt.Sprintf("package %s is not in mayImport: say what it may import, and why no more", from))
		}
		if !ok || f.test() {
			continue
		}
		for p := range f.imports() {
			out = append(out, importProblem(f.path, from, p, r)...)
		}
	}
	return out
}

// importProblem judges one import of package from.
func importProblem(where, from, p string, r rule) []string {
	if ours, ok := strings.CutPrefix(p, "weir/"); ok {
		if !slices.Contains(r.may, ours) {
			return []string{fmt.Sprintf("%s: %s must not import %s: %s", where, from, ours, r.ban)}
		}
		return nil
	}
	if first, _, _ := strings.Cut(p, "/"); !strings.Contains(first, ".") {
		return nil // the standard library
	}
	lib, use, ok := library(p)
	switch {
	case !ok:
		return []string{fmt.Sprintf("%s: library %s is not in mayUse: say who may import it, and why", where, p)}
	case !slices.Contains(use.may, from):
		return []string{fmt.Sprintf("%s: %s must not import %s: %s", where, from, lib, use.ban)}
	}
	return nil
}

// library finds the entry of mayUse that import path p belongs to.
func library(p string) (string, rule, bool) {
	for lib, use := range mayUse {
		if p == lib || strings.HasPrefix(p, lib+"/") {
			return lib, use, true
		}
	}
	return "", rule{}, false
}

func TestImports(t *testing.T) {
	report(t, importProblems(theHouse(t)))
	for name, rules := range map[string]map[string]rule{"mayImport": mayImport, "mayUse": mayUse} {
		for k, r := range rules {
			if r.ban == "" {
				t.Errorf("%s[%q] gives no reason for its bans", name, k)
			}
		}
	}
}

func TestImportsCanFail(t *testing.T) {
	wantProblem(t, importProblems(tiny(t,
		"wal/a.go", "package wal\nimport _ \"weir/broker/api\"\n",
		"wal/a_test.go", "package wal\nimport _ \"weir/broker/partition\"\n",
		"protocol/a.go", "package protocol\nimport _ \"github.com/hashicorp/raft\"\n",
		"config/a.go", "package config\nimport _ \"example.com/new/thing\"\n",
		"broker/a.go", "package broker\nimport (\n_ \"weir/broker/api\"\n_ \"github.com/twmb/franz-go/pkg/kmsg\"\n_ \"net\"\n)\n",
		"surprise/a.go", "package surprise\n",
		"compat-tests/go.mod", "module compat\n",
		"compat-tests/a.go", "package compat\nimport _ \"example.com/any\"\n",
	)),
		"library example.com/new/thing is not in mayUse",
		"package surprise is not in mayImport",
		"protocol must not import github.com/hashicorp/raft: consensus is behind one package",
		"wal must not import broker/api: the log knows batches",
	)
}
