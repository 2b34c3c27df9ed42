package file

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"weir/security/securitytest"
)

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "proxy.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	ca := securitytest.NewCA(t, dir, "ca")
	cert, key := ca.Issue(t, "server", "kafka.test")
	name := write(t, `
clusters:
  - name: orders
    upstream: [kafka-1:9092, kafka-2:9092]
    listen: 127.0.0.1:19092
    base-port: 19100
    filters:
      - read-only
      - audit:
          file: `+filepath.Join(dir, "audit.log")+`
  - name: two
    upstream:
      - other:9092
    listen: :29092
    mode: sni
    advertise: kafka.test
    tls: {cert: `+cert+`, key: `+key+`}
    upstream-tls: {ca: `+ca.File+`}
`)
	f, err := Read(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, b := f.Clusters[0], f.Clusters[1]
	if a.Name != "orders" || len(a.Upstream) != 2 || a.BasePort != 19100 || len(a.Filters) != 2 || a.Single || a.SNI || a.TLS != nil {
		t.Errorf("%+v", a)
	}
	if !b.SNI || b.TLS == nil || b.UpstreamTLS == nil || b.Advertise != "kafka.test" {
		t.Errorf("%+v", b)
	}
	if f.Now() != f.Read() {
		t.Error("something has changed")
	}
	if err := os.WriteFile(cert, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f.Now() == f.Read() {
		t.Error("a certificate that has changed is not seen")
	}
}

// TestProblems wants each mistake with its line, and all of them at once.
func TestProblems(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "there is nothing in it",
		"clusters:\n  - name: [": "2: did not find expected node content",
		"clusters: {}":           "1: a list is wanted here",
		"clusters: []":           "1: there is no cluster",
		"x: 1\nclusters:\n- upstream: [a:1]\n  listen: :1\n  listn: 2": `1: unknown key "x": allowed are clusters
5: unknown key "listn": allowed are name, upstream, listen`,
		"clusters:\n- upstream: [a:1]\n  listen: :1\n- upstream: [a]\n  listen: :1\n- listen: x\n  name: c\n": `4: the cluster in line 2 has the name "" too
4: the cluster in line 2 listens on :1 too
4: upstream "a": allowed is host:port
6: it has no upstream address`,
		"clusters:\n- upstream: [a:1]\n  listen: :1\n  base-port: many\n  listen: :2\n  mode: both": `4: "many" is no whole number
5: key "listen" is there already, in line 3
2: mode "both": allowed are ports, single, sni`,
		"clusters:\n- upstream: [a:1]\n  listen: :1\n  filters:\n  - nope\n  - chaos:\n      faults:\n      - rate: x\n  - chaos:\n      faults: [{rate: 2}]\n  - {a: 1, b: 2}\n  - audit: {keys: [Nope]}": `5: there is no filter "nope": there are access, audit, chaos, policy, rate-limit, read-only
8: "x" is no number
9: filter chaos: fault 1: rate 2
11: a filter is its name
12: filter audit: "Nope" is no API key`,
		"clusters:\n- upstream: [a:1]\n  listen: :1\n  tls: {cert: /none}\n": "2: a certificate and its key come together",
		"clusters:\n- &a\n  upstream: [a:1]\n- *a\n":                         "anchors and aliases are not taken",
		"clusters: [1, null]": `1: keys are wanted here`,
		"- 1":                 "1: keys are wanted here: clusters",
	} {
		name := write(t, text)
		err := Check(name)
		if err == nil {
			t.Errorf("%q is taken", text)
			continue
		}
		got := strings.ReplaceAll(err.Error(), name+":", "")
		for _, line := range strings.Split(want, "\n") {
			if !strings.Contains(got, line) {
				t.Errorf("%q: no %q in\n%s", text, line, got)
			}
		}
	}
	if err := Check(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that there is not is taken")
	}
}

// TestDocumented wants every key of a file in docs/proxy.md, and every example there to be right.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/proxy.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range append(keys(reflect.TypeFor[cluster]()), keys(reflect.TypeFor[tls]())...) {
		if !strings.Contains(string(doc), "`"+key+"`") {
			t.Errorf("docs/proxy.md does not say what %s is", key)
		}
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(doc), -1)
	shown := map[string]bool{}
	for _, e := range examples {
		text := e[1]
		if !strings.HasPrefix(text, "clusters:") { // a filter alone
			text = "clusters:\n- upstream: [a:1]\n  listen: :1\n  filters:\n  " + strings.ReplaceAll(text, "\n", "\n  ")
		}
		if err := Check(write(t, text)); err != nil {
			t.Errorf("%s\n%v", e[1], err)
		}
		for name := range filters {
			if strings.Contains(text, "- "+name) {
				shown[name] = true
			}
		}
	}
	for name := range filters {
		if !shown[name] {
			t.Errorf("docs/proxy.md has no example of %s", name)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte("clusters:\n- upstream: [a:1]\n  listen: :1\n  filters:\n  - chaos:\n      faults: [{rate: 2}]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		x := &File{checking: true}
		x.parse(text)
	})
}
