package audit

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"weir/protocol"
	"weir/proxy/filter"
)

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestAudit(t *testing.T) {
	var b bytes.Buffer
	f, err := New(&b, nil)
	if err != nil {
		t.Fatal(err)
	}
	chain := filter.NewChain(f)
	x := &filter.Exchange{Cluster: "c", Broker: 2, Client: filter.Client{Remote: "1.2.3.4:5"}, ClientID: "a\"b\n", Key: 19, Version: 7,
		Received: time.Unix(1, 0), Took: 1500 * time.Microsecond, Bytes: 10, Answered: 20, Code: protocol.PolicyViolation}
	chain.Begin(x)
	if err := x.After(); err != nil {
		t.Fatal(err)
	}
	const want = `{"time":"1970-01-01T00:00:01Z","cluster":"c","broker":2,"client":"1.2.3.4:5","client_id":"a\"b\n","api":"CreateTopics","version":7,` +
		`"request_bytes":10,"response_bytes":20,"took_ms":1.5,"refused":"POLICY_VIOLATION"}` + "\n"
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	f, _ = New(broken{}, []string{"CreateTopics"})
	filter.NewChain(f).Begin(x)
	if err := x.After(); err != nil || f.Lost() != 1 {
		t.Error(err, f.Lost())
	}
	if _, err := New(&b, []string{"Nope"}); err == nil {
		t.Error("an unknown key is taken")
	}
}
