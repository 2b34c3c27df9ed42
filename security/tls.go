package security

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// TLSFiles names the files of one side of TLS, in PEM.
type TLSFiles struct {
	Cert, Key string // what this side shows; a client may have none
	CA        string // who the other side must be signed by; "": for a client those of the system, for a server clients show nothing
}

// TLS is certificates that can be read again. The configurations that it makes always use what was read last.
type TLS struct {
	files TLSFiles
	now   atomic.Pointer[loaded]
}

type loaded struct {
	cert *tls.Certificate // nil: none
	ca   *x509.CertPool   // nil: none
}

// LoadTLS reads the files. Its errors name the file.
func LoadTLS(f TLSFiles) (*TLS, error) {
	t := &TLS{files: f}
	return t, t.Reload()
}

// Reload reads the files again. Where one cannot be used, what was read before stays.
func (t *TLS) Reload() error {
	var l loaded
	if (t.files.Cert == "") != (t.files.Key == "") {
		return errors.New("a certificate and its key come together")
	}
	if t.files.Cert != "" {
		cert, err := tls.LoadX509KeyPair(t.files.Cert, t.files.Key)
		if err != nil {
			return fmt.Errorf("certificate %s, key %s: %w", t.files.Cert, t.files.Key, err)
		}
		l.cert = &cert
	}
	if t.files.CA != "" {
		pem, err := os.ReadFile(t.files.CA)
		if err != nil {
			return err
		}
		l.ca = x509.NewCertPool()
		if !l.ca.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s: there is no certificate in it", t.files.CA)
		}
	}
	t.now.Store(&l)
	return nil
}

// Server is the configuration of a server. Where there is a CA, clients must show a certificate that it signed.
func (t *TLS) Server() (*tls.Config, error) {
	if t.now.Load().cert == nil {
		return nil, errors.New("a TLS server needs a certificate")
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			l := t.now.Load()
			c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*l.cert}}
			if l.ca != nil {
				c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, l.ca
			}
			return c, nil
		},
	}, nil
}

// Client is the configuration for a connection to a host, which the other side's certificate must be for.
func (t *TLS) Client(host string) *tls.Config {
	l := t.now.Load()
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, RootCAs: l.ca}
	if l.cert != nil {
		c.Certificates = []tls.Certificate{*l.cert}
	}
	return c
}
