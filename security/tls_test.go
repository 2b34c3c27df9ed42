package security

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/security/securitytest"
)

// talk does a handshake and returns the name of the client's certificate as the server saw it, and both errors.
func talk(t *testing.T, server, client *tls.Config) (name string, serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	s := tls.Server(a, server)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		a.Close()
		done <- err
	}()
	c := tls.Client(b, client)
	if clientErr = c.Handshake(); clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1)) // with TLS 1.3 a refused certificate is told only now
	}
	b.Close()
	serverErr = <-done
	if peers := s.ConnectionState().PeerCertificates; len(peers) > 0 {
		name = peers[0].Subject.CommonName
	}
	return name, serverErr, clientErr
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, other := securitytest.NewCA(t, dir, "ca"), securitytest.NewCA(t, dir, "other")
	cert, key := ca.Issue(t, "server", "kafka.test")
	clientCert, clientKey := ca.Issue(t, "alice")
	badCert, badKey := other.Issue(t, "mallory")
	must := func(f TLSFiles) *TLS {
		t.Helper()
		x, err := LoadTLS(f)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	server, err := must(TLSFiles{Cert: cert, Key: key, CA: ca.File}).Server()
	if err != nil {
		t.Fatal(err)
	}
	if name, s, c := talk(t, server, must(TLSFiles{Cert: clientCert, Key: clientKey, CA: ca.File}).Client("kafka.test")); s != nil || c != nil || name != "alice" {
		t.Error(s, c, name)
	}
	for what, client := range map[string]*tls.Config{
		"no certificate":        must(TLSFiles{CA: ca.File}).Client("kafka.test"),
		"signed by another":     must(TLSFiles{Cert: badCert, Key: badKey, CA: ca.File}).Client("kafka.test"),
		"the server is another": must(TLSFiles{Cert: clientCert, Key: clientKey, CA: other.File}).Client("kafka.test"),
		"another name":          must(TLSFiles{Cert: clientCert, Key: clientKey, CA: ca.File}).Client("evil.test"),
	} {
		if _, s, c := talk(t, server, client); s == nil && c == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

// A certificate that is replaced is used from the next connection on; one that cannot be read leaves the old one.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	ca := securitytest.NewCA(t, dir, "ca")
	cert, key := ca.Issue(t, "first", "kafka.test")
	x, err := LoadTLS(TLSFiles{Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	server, err := x.Server()
	if err != nil {
		t.Fatal(err)
	}
	client, err := LoadTLS(TLSFiles{CA: ca.File})
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		var name string
		c := client.Client("kafka.test")
		c.VerifyConnection = func(s tls.ConnectionState) error { name = s.PeerCertificates[0].Subject.CommonName; return nil }
		talk(t, server, c)
		return name
	}
	if got := shown(); got != "first" {
		t.Error(got)
	}
	if err := os.WriteFile(cert, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := x.Reload(); err == nil || !strings.Contains(err.Error(), cert) {
		t.Error(err)
	}
	if got := shown(); got != "first" {
		t.Error(got)
	}
	second, secondKey := ca.Issue(t, "second", "kafka.test")
	for from, to := range map[string]string{second: cert, secondKey: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Reload(); err != nil {
		t.Error(err)
	}
	if got := shown(); got != "second" {
		t.Error(got)
	}
}

func TestTLSErrors(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, f := range []TLSFiles{{Cert: none, Key: none}, {Cert: none}, {CA: none}} {
		if _, err := LoadTLS(f); err == nil {
			t.Errorf("%+v", f)
		}
	}
	x, err := LoadTLS(TLSFiles{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Server(); err == nil {
		t.Error("a server without a certificate")
	}
}
