package wire_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/wire"
)

func write(t testing.TB, path string, text []byte) string {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// settings writes a tls.properties file and loads it.
func settings(t testing.TB, lines ...string) *wire.TLS {
	t.Helper()
	s, err := wire.LoadTLS(write(t, filepath.Join(t.TempDir(), "tls.properties"), []byte(strings.Join(lines, "\n"))))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// authority signs certificates.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t testing.TB, name string) *authority {
	a := &authority{dir: t.TempDir()}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.cert = template(name)
	a.cert.IsCA, a.cert.BasicConstraintsValid = true, true
	a.file = a.issue(t, name, a.cert, a.key)
	return a
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
}

func (a *authority) issue(t testing.TB, name string, c *x509.Certificate, key *ecdsa.PrivateKey) string {
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, filepath.Join(a.dir, name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// leaf writes a certificate and its key and returns the lines of tls.properties that name them.
func (a *authority) leaf(t testing.TB, end, name string) []string {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	cert := a.issue(t, name, template(name), key)
	der, _ := x509.MarshalPKCS8PrivateKey(key)
	file := write(t, filepath.Join(a.dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return []string{fmt.Sprintf("tls.%s.certPath=%s", end, cert), fmt.Sprintf("tls.%s.keyPath=%s", end, file)}
}

func (a *authority) trust(end string) string {
	return fmt.Sprintf("tls.%s.trustCertPath=%s", end, a.file)
}

// works reports how a call over a connection of its own ends.
func works(t testing.TB, addr string, o wire.Options) error {
	t.Helper()
	p := wire.NewPool(o)
	defer p.Close()
	body := strings.Repeat("body", 100_000)
	f, err := p.Call(soon(t), addr, &wire.Request{Code: 1, Body: []byte(body)})
	if err == nil && string(f.Body) != body {
		t.Error("the answer has another body")
	}
	return err
}

// Plain and TLS on one port, by mode, with the certificate made in memory.
func TestTLSModes(t *testing.T) {
	client := settings(t)
	for mode, want := range map[string]struct{ plain, secure bool }{
		"disabled": {true, false}, "permissive": {true, true}, "enforcing": {false, true},
	} {
		t.Run(mode, func(t *testing.T) {
			_, addr := serve(t, wire.Options{Handler: echo, TLS: settings(t, "tls.server.mode="+mode)})
			if err := works(t, addr, wire.Options{}); (err == nil) != want.plain {
				t.Errorf("plain: %v", err)
			}
			if err := works(t, addr, wire.Options{TLS: client}); (err == nil) != want.secure {
				t.Errorf("TLS: %v", err)
			}
		})
	}
}

func TestTLSTrust(t *testing.T) {
	good, bad := newAuthority(t, "good"), newAuthority(t, "bad")
	server := good.leaf(t, "server", "server")
	join := func(lists ...[]string) (all []string) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	lines := func(l ...string) []string { return l }
	client := lines("tls.test.mode.enable=false", "tls.client.keyPath=")
	for _, c := range []struct {
		name           string
		server, client []string
		works          bool
	}{
		{"nobody looks", server, client, true},
		{"server trusted", server, join(client, lines(good.trust("client"))), true},
		{"server not trusted", server, join(client, lines(bad.trust("client"))), false},
		{"server not trusted, but nobody looks", server, join(client, lines(bad.trust("client"), "tls.client.authServer=false")), true},
		{"client has none", join(server, lines("tls.server.need.client.auth=require", good.trust("server"))), client, false},
		{"client trusted", join(server, lines("tls.server.need.client.auth=require", good.trust("server"))), join(client, good.leaf(t, "client", "c1")), true},
		{"client not trusted", join(server, lines("tls.server.need.client.auth=require", good.trust("server"))), join(client, bad.leaf(t, "client", "c2")), false},
		{"optional, none", join(server, lines("tls.server.need.client.auth=optional", good.trust("server"))), client, true},
		{"optional, not trusted, so not shown", join(server, lines("tls.server.need.client.auth=optional", good.trust("server"))), join(client, bad.leaf(t, "client", "c3")), true},
		{"required as the manual spells it", join(server, lines("tls.server.need.client.auth=required", good.trust("server"))), client, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, addr := serve(t, wire.Options{Handler: echo, TLS: settings(t, c.server...)})
			if err := works(t, addr, wire.Options{TLS: settings(t, c.client...)}); (err == nil) != c.works {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestTLSReload(t *testing.T) {
	a := newAuthority(t, "authority")
	lines := a.leaf(t, "server", "server")
	_, addr := serve(t, wire.Options{Handler: echo, TLS: settings(t, lines...)})
	subject := func() *big.Int {
		c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber
	}
	before := subject()
	a.leaf(t, "server", "server")
	for end := time.Now().Add(patience); subject().Cmp(before) == 0; {
		if time.Now().After(end) {
			t.Fatal("the old certificate is still in use")
		}
		time.Sleep(wire.Recheck / 20) // the files are looked at by the clock
	}
}

func TestTLSErrors(t *testing.T) {
	dir := t.TempDir()
	a := newAuthority(t, "authority")
	leaf := a.leaf(t, "server", "server")
	junk := write(t, filepath.Join(dir, "junk"), []byte("junk"))
	for name, c := range map[string]struct{ lines, want string }{
		"mode":         {"tls.server.mode=strict", `tls.server.mode is "strict"`},
		"no key":       {"tls.test.mode.enable=false", "tls.server.keyPath"},
		"missing cert": {"tls.server.certPath=/nowhere/x.pem\ntls.server.keyPath=" + junk, "tls.server.certPath: open /nowhere/x.pem"},
		"junk key":     {leaf[0] + "\ntls.server.keyPath=" + junk, "tls.server.keyPath " + junk + ": no private key"},
		"junk trust":   {leaf[0] + "\n" + leaf[1] + "\ntls.server.trustCertPath=" + junk, "tls.server.trustCertPath: " + junk},
		"auth":         {leaf[0] + "\n" + leaf[1] + "\ntls.server.need.client.auth=maybe", `tls.server.need.client.auth is "maybe"`},
		"no password":  {leaf[0] + "\ntls.server.keyPath=testdata/key-aes256.pem", "keyPassword is not set"},
		"bad password": {leaf[0] + "\ntls.server.keyPassword=wrong\ntls.server.keyPath=testdata/key-aes256.pem", "does not fit"},
	} {
		path := write(t, filepath.Join(dir, "tls.properties"), []byte(c.lines))
		_, err := wire.LoadTLS(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q and the path", name, err, c.want)
		}
	}
	if _, err := wire.LoadTLS(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Error(err)
	}
}

// Keys that openssl has encrypted with the password "secret".
func TestEncryptedKeys(t *testing.T) {
	files, err := filepath.Glob("testdata/key-*.pem")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, key := range files {
		settings(t, "tls.server.certPath=testdata/cert.pem", "tls.server.keyPassword=secret", "tls.server.keyPath="+key)
	}
}
