package tools

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"

	compat "weir-compat"
)

const (
	consoleProducer     = "org.apache.kafka.tools.ConsoleProducer"
	producerPerformance = "org.apache.kafka.tools.ProducerPerformance"
	verifiableProducer  = "org.apache.kafka.tools.VerifiableProducer"
)

func TestConsoleProducer(t *testing.T) {
	b := compat.Shared(t)
	for _, codec := range compat.Codecs {
		t.Run(codec, func(t *testing.T) {
			topic := compat.CreateTopic(t, b, 1)
			in := numbered(0, 1000)
			tool(t, b, strings.NewReader(in), consoleProducer, "--topic", topic, "--compression-codec", codec,
				"--reader-property", "parse.key=true", "--reader-property", "key.separator=:")
			if out := kcat(t, b, nil, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-K:"); out != in {
				t.Errorf("%d bytes went in, %d came out", len(in), len(out))
			}
		})
	}
}

// The Java client at full speed, with acks of each kind; all is there.
func TestProducerPerformance(t *testing.T) {
	b := compat.Shared(t)
	for _, acks := range []string{"0", "1", "all"} {
		t.Run("acks="+acks, func(t *testing.T) {
			topic := compat.CreateTopic(t, b, 3)
			props := []string{"--command-property", "acks=" + acks, "--command-property", "compression.type=lz4"}
			if acks != "all" {
				props = append(props, "--command-property", "enable.idempotence=false")
			}
			out := tool(t, b, nil, producerPerformance, append([]string{"--topic", topic, "--num-records", "50000", "--record-size", "200", "--throughput", "-1"}, props...)...)
			contains(t, out, "50000 records sent")
			var sum int64
			for p := range int32(3) {
				sum += compat.EndOffset(t, b, topic, p)
			}
			if sum != 50000 {
				t.Errorf("%d records are there, want 50,000", sum)
			}
		})
	}
}

func TestVerifiableProducer(t *testing.T) {
	b := compat.Shared(t)
	topic := compat.CreateTopic(t, b, 1)
	out := tool(t, b, nil, verifiableProducer, "--topic", topic, "--max-messages", "3000", "--acks", "-1")
	var summary struct {
		Name        string
		Sent, Acked int
	}
	acks := 0
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		var event struct{ Name string }
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			continue
		}
		switch event.Name {
		case "producer_send_success":
			acks++
		case "producer_send_error":
			t.Errorf("refused: %s", lines.Text())
		case "tool_data":
			if err := json.Unmarshal(lines.Bytes(), &summary); err != nil {
				t.Fatal(err)
			}
		}
	}
	if acks != 3000 || summary.Acked != 3000 || summary.Sent != 3000 {
		t.Errorf("%d acknowledgements, summary %+v; want 3,000", acks, summary)
	}
	if end := compat.EndOffset(t, b, topic, 0); end != 3000 {
		t.Errorf("%d records are there, want 3,000", end)
	}
}
