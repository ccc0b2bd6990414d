package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"time"

	"github.com/magiconair/properties"
)

const (
	keyMode = "tls.server.mode"
	keyTest = "tls.test.mode.enable"
	keyAuth = "tls.server.need.client.auth"

	modeDisabled  = "disabled"
	modeEnforcing = "enforcing"
)

// settings are the content of a tls.properties file.
type settings struct {
	path       string
	mode       string
	test       string // "true", "false" or "" if not set
	clientAuth string
	dial       bool // whether servers dial with TLS
	server     side
	client     side
	files      [6]string // all that are named
}

// side are the settings of one end of a connection.
type side struct {
	prefix                     string // of the keys
	key, password, cert, trust string // paths, but for the password; "": not set
	verify                     bool   // whether the peer's certificate must be trusted
}

// stamp tells whether a file has changed.
type stamp struct{ size, modified int64 }

type stamps [6]stamp // of settings.files

func (s *settings) stamps() (all stamps) {
	for i, path := range s.files {
		if info, err := os.Stat(path); path != "" && err == nil {
			all[i] = stamp{info.Size(), info.ModTime().UnixNano()}
		}
	}
	return all
}

func readSettings(path string) (settings, error) {
	p := properties.NewProperties()
	if path != "" {
		var err error
		loader := properties.Loader{Encoding: properties.ISO_8859_1, DisableExpansion: true}
		if p, err = loader.LoadFile(path); err != nil {
			return settings{}, fmt.Errorf("TLS settings: %w", err)
		}
	}
	text := func(key string) string { return strings.TrimSpace(p.GetString(key, "")) }
	flag := func(key string, unset bool) bool {
		if v := text(key); v != "" {
			return strings.EqualFold(v, "true")
		}
		return unset
	}
	end := func(prefix, verifyKey string) side {
		s := side{prefix: prefix, key: text(prefix + "keyPath"), password: text(prefix + "keyPassword"),
			cert: text(prefix + "certPath"), trust: text(prefix + "trustCertPath")}
		s.verify = flag(prefix+verifyKey, s.trust != "")
		return s
	}
	s := settings{path: path, mode: strings.ToLower(text(keyMode)), clientAuth: strings.ToLower(text(keyAuth)),
		server: end("tls.server.", "authClient"), client: end("tls.client.", "authServer")}
	s.test, s.dial = strings.ToLower(text(keyTest)), flag("tls.enable", s.mode == modeEnforcing)
	isClients := s.test == "false" && s.server.key+s.server.cert == "" && len(p.FilterPrefix("tls.client.").Keys()) > 0
	if s.mode == "" && isClients {
		s.mode = modeDisabled
	}
	if s.mode == "" {
		s.mode = "permissive"
	}
	s.files = [...]string{s.server.key, s.server.cert, s.server.trust, s.client.key, s.client.cert, s.client.trust}
	switch s.mode {
	case modeDisabled, modeEnforcing, "permissive":
		return s, nil
	}
	return s, fmt.Errorf("%s: %s is %q; it can be disabled, permissive or enforcing", path, keyMode, s.mode)
}

// configs reads the files and makes the configurations of both ends.
func (s *settings) configs() (server, client *tls.Config, err error) {
	server = &tls.Config{MinVersion: tls.VersionTLS12}
	client = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
	if inMemory := s.test == "" && s.server.key+s.server.cert == ""; inMemory || s.test == "true" {
		cert, err := selfSigned()
		if err != nil {
			return nil, nil, err
		}
		server.Certificates = []tls.Certificate{cert}
	} else if s.mode != modeDisabled {
		if err := s.configureServer(server); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", s.path, err)
		}
	}
	if s.test != "true" {
		if err := s.configureClient(client); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", s.path, err)
		}
	}
	return server, client, nil
}

func (s *settings) configureServer(c *tls.Config) error {
	cert, err := s.server.certificate()
	if err != nil {
		return err
	}
	if cert == nil {
		return fmt.Errorf("%skeyPath and %scertPath are missing; set them, or %s=true", s.server.prefix, s.server.prefix, keyTest)
	}
	c.Certificates = []tls.Certificate{*cert}
	if c.ClientCAs, err = s.server.roots(); err != nil {
		return err
	}
	switch s.clientAuth {
	case "", "none":
	case "optional":
		c.ClientAuth = tls.RequestClientCert
		if s.server.verify {
			c.ClientAuth = tls.VerifyClientCertIfGiven
		}
	case "require", "required":
		c.ClientAuth = tls.RequireAnyClientCert
		if s.server.verify {
			c.ClientAuth = tls.RequireAndVerifyClientCert
		}
	default:
		return fmt.Errorf("%s is %q; it can be none, optional or require", keyAuth, s.clientAuth)
	}
	return nil
}

func (s *settings) configureClient(c *tls.Config) error {
	cert, err := s.client.certificate()
	if err != nil {
		return err
	}
	if cert != nil {
		c.Certificates = []tls.Certificate{*cert}
	}
	roots, err := s.client.roots()
	if err != nil || !s.client.verify {
		return err
	}
	c.VerifyConnection = func(state tls.ConnectionState) error {
		o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, c := range state.PeerCertificates[1:] {
			o.Intermediates.AddCert(c)
		}
		_, err := state.PeerCertificates[0].Verify(o)
		return err
	}
	return nil
}

// roots reads the trusted certificates; nil stands for those of the system.
func (s *side) roots() (*x509.CertPool, error) {
	if s.trust == "" {
		return nil, nil
	}
	text, err := os.ReadFile(s.trust)
	if err != nil {
		return nil, fmt.Errorf("%strustCertPath: %w", s.prefix, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%strustCertPath: %s holds no certificate in PEM form", s.prefix, s.trust)
	}
	return pool, nil
}

// certificate reads key and certificate chain; nil if neither is set.
func (s *side) certificate() (*tls.Certificate, error) {
	if s.key == "" && s.cert == "" {
		return nil, nil
	}
	chain, err := os.ReadFile(s.cert)
	if err != nil {
		return nil, fmt.Errorf("%scertPath: %w", s.prefix, err)
	}
	key, err := os.ReadFile(s.key)
	if err == nil {
		key, err = plainKey(key, s.password)
	}
	if err != nil {
		return nil, fmt.Errorf("%skeyPath %s: %w", s.prefix, s.key, err)
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("%skeyPath %s with %scertPath %s: %w", s.prefix, s.key, s.prefix, s.cert, err)
	}
	return &cert, nil
}

// plainKey returns text, a private key in PEM form, decrypted.
func plainKey(text []byte, password string) ([]byte, error) {
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("no private key in PEM form")
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		encrypted := block.Type == "ENCRYPTED PRIVATE KEY"
		//lint:ignore SA1019 keys in this form exist, however weak it is
		old := x509.IsEncryptedPEMBlock(block)
		if !encrypted && !old {
			return text, nil
		}
		if password == "" {
			return nil, errors.New("the key is encrypted and keyPassword is not set")
		}
		der, err := []byte(nil), error(nil)
		if encrypted {
			der, err = decryptPKCS8(block.Bytes, password)
		} else {
			//lint:ignore SA1019 as above
			der, err = x509.DecryptPEMBlock(block, []byte(password))
		}
		if err != nil {
			return nil, err
		}
		return pem.EncodeToMemory(&pem.Block{Type: strings.TrimPrefix(block.Type, "ENCRYPTED "), Bytes: der}), nil
	}
}

// selfSigned makes a certificate for tests, valid for a year.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "skua test certificate"},
		NotBefore:    now.Add(-24 * time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
