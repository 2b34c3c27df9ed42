package chaos

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	compat "weir-compat"
)

func TestMain(m *testing.M) {
	if os.Getenv(envTeller) != "" { // this process is a producer of the bank
		if err := teller(); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	compat.Main(m)
}

// number is an environment variable's, or the one for a short run.
func number(t *testing.T, variable string, short int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s: %q is not a number above zero", variable, text)
	}
	return n
}

// span is an environment variable's, or the one for a short run.
func span(t *testing.T, variable string, short time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return short
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("%s: %q is not a time like 10m", variable, text)
	}
	return d
}
