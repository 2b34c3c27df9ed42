package protocol

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestCodesAreKafkas compares with the Errors enum of Kafka 4.4.0: code, name, whether its exception is retriable.
func TestCodesAreKafkas(t *testing.T) {
	text, err := os.ReadFile("testdata/errors.tsv")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != len(codeNames) {
		t.Errorf("%d codes, Kafka has %d", len(codeNames), len(lines))
	}
	for _, line := range lines {
		f := strings.Split(line, "\t")
		n, _ := strconv.Atoi(f[0])
		c := Code(n)
		if c.String() != f[1] || c.Error() != f[1] {
			t.Errorf("%d is %s, with Kafka %s", n, c, f[1])
		}
		if c.Retriable() != (f[2] == "true") {
			t.Errorf("%s: retriable %v", c, c.Retriable())
		}
		if (c.Message() == "") != (c == None) || strings.Contains(c.Message(), "_") {
			t.Errorf("%s: message %q", c, c.Message())
		}
	}
	if s := Code(999).String(); s != "UNKNOWN_CODE_999" {
		t.Error(s)
	}
}
