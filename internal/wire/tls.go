package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// TLS is the TLS side of a listener or dialer, as a tls.properties file describes it. When the certificate, key or
// trust files change, connections made later use what they hold then; files that cannot be used are ignored until they
// change again. It is safe for concurrent use.
type TLS struct {
	s settings

	mu      sync.Mutex // guards the following
	checked time.Time
	stamps  stamps
	server  *tls.Config
	client  *tls.Config
}

// recheck is the least time between two looks at the files.
const recheck = time.Second

// LoadTLS reads the tls.properties file at path and the files that it names. An empty path stands for an empty file:
// plain and TLS are both taken, with a certificate made in memory. The keys:
//
//	tls.server.mode              disabled, permissive (default: plain and TLS) or enforcing (TLS only)
//	tls.test.mode.enable         true: use a certificate made in memory, and trust everybody; false: never do;
//	                             not set: a server for which no key is named uses a certificate made in memory
//	tls.server.keyPath           PEM: private key, PKCS #8, PKCS #1 or EC
//	tls.server.keyPassword       of that key, if it is encrypted
//	tls.server.certPath          PEM: certificate chain, our own first
//	tls.server.need.client.auth  none (default), optional or require
//	tls.server.authClient        whether clients' certificates must be trusted; default: if trustCertPath is there
//	tls.server.trustCertPath     PEM: certificates that are trusted; default: those of the system
//	tls.enable                   whether servers dial others with TLS; default: if tls.server.mode is enforcing
//	tls.client.keyPath, tls.client.keyPassword, tls.client.certPath, tls.client.authServer, tls.client.trustCertPath
//
// Host names in certificates are not looked at, as in Java: addresses are those that brokers announce. An error names
// the file and the key.
func LoadTLS(path string) (*TLS, error) {
	s, err := readSettings(path)
	if err != nil {
		return nil, err
	}
	t := &TLS{s: s, checked: time.Now(), stamps: s.stamps()}
	if t.server, t.client, err = s.configs(); err != nil {
		return nil, err
	}
	return t, nil
}

// ForDialing returns t if servers are to dial others with TLS, else nil, for the Options of their pools.
func (t *TLS) ForDialing() *TLS {
	if t == nil || !t.s.dial {
		return nil
	}
	return t
}

// configs returns what connections are made with now. The error tells why changed files are not used; it is returned
// once for each change, with the configurations of before.
func (t *TLS) configs() (server, client *tls.Config, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.checked) >= recheck {
		t.checked = now
		if stamps := t.s.stamps(); stamps != t.stamps {
			t.stamps = stamps
			if server, client, err = t.s.configs(); err == nil {
				t.server, t.client = server, client
			}
		}
	}
	return t.server, t.client, err
}

// errTLS marks failed handshakes.
var errTLS = errors.New("TLS handshake failed")

// replay is a connection of which some bytes have been read already.
type replay struct {
	net.Conn
	first []byte
}

func (r *replay) Read(b []byte) (int, error) {
	if len(r.first) == 0 {
		return r.Conn.Read(b)
	}
	n := copy(b, r.first)
	r.first = r.first[n:]
	return n, nil
}

// greet looks at the first byte of the peer and begins TLS if that is what it speaks: no frame begins with 0x16.
// Nothing is written before.
func (c *Conn) greet() error {
	if err := c.in.fill(); err != nil {
		return err
	}
	mode := c.owner.TLS.s.mode
	if c.in.buf.b[0] == 0x16 && mode != modeDisabled {
		if err := c.secure(); err != nil {
			return fmt.Errorf("%w: %w", errTLS, err)
		}
		return c.out.open()
	}
	if mode == modeEnforcing {
		return malformed("a connection without TLS, but %s is %s", keyMode, mode)
	}
	if err := c.out.open(); err != nil {
		return err
	}
	return c.handleAll()
}

// secure makes a TLS connection of one that has begun with a ClientHello.
func (c *Conn) secure() error {
	config, _, err := c.owner.TLS.configs()
	if err != nil {
		c.owner.Log.Warn("wire: TLS files have changed but cannot be used, the old ones stay in use", "err", err)
	}
	hello := bytes.Clone(c.in.buf.b)
	c.in.free()
	secure := tls.Server(&replay{Conn: c.socket, first: hello}, config)
	c.socket.SetDeadline(time.Now().Add(c.owner.WriteTimeout))
	if err := secure.Handshake(); err != nil {
		return err
	}
	c.nc, c.raw = secure, nil
	if err := c.socket.SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	return c.arm(c.owner.IdleTimeout)
}
