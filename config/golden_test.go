package config

import (
	"os"
	"strings"
	"testing"
)

// golden reads a table that was made from Kafka 4.4.0: lines of fields between tabs, # begins a comment.
func golden(t *testing.T, name string) [][]string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && !strings.HasPrefix(line, "#") {
			rows = append(rows, strings.Split(line, "\t"))
		}
	}
	if len(rows) == 0 {
		t.Fatalf("testdata/%s is empty", name)
	}
	return rows
}

// otherDefaults are the broker settings whose default is not Kafka's, with the reason.
var otherDefaults = map[string]string{
	"listeners":     "nothing but loopback is listened on until told",
	"log.dir":       "data lives below the working directory",
	"node.id":       "the first run needs no configuration",
	"process.roles": "the first run needs no configuration",
}

// resolve lays key=value texts over the defaults, as --set does.
func resolve(t *testing.T, sets ...string) *Static {
	t.Helper()
	source, err := FromSets(sets)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := Resolve(source)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
