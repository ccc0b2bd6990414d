package wire

// TLS is the TLS side of a listener or dialer.
type TLS struct{}
