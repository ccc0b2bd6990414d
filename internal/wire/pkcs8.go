package wire

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/rc4"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
	"unicode/utf16"
)

// Object identifiers of RFC 8018 (PBES2) and RFC 7292 (PKCS #12) as strings.
const (
	oidPBES2      = "1.2.840.113549.1.5.13"
	oidPBKDF2     = "1.2.840.113549.1.5.12"
	oidHMACSHA1   = "1.2.840.113549.2.7"
	oidHMACSHA256 = "1.2.840.113549.2.9"
	oidHMACSHA512 = "1.2.840.113549.2.11"
	oidAES128     = "2.16.840.1.101.3.4.1.2"
	oidAES192     = "2.16.840.1.101.3.4.1.22"
	oidAES256     = "2.16.840.1.101.3.4.1.42"
	oidDES3       = "1.2.840.113549.3.7"
	oidPBERC4     = "1.2.840.113549.1.12.1.1" // what RocketMQ's own instructions make
	oidPBEDES3    = "1.2.840.113549.1.12.1.3"
)

const maxIterations = 10_000_000

var errPassword = errors.New("keyPassword does not fit the key")

// decryptPKCS8 returns the PrivateKeyInfo in der, an EncryptedPrivateKeyInfo.
func decryptPKCS8(der []byte, password string) ([]byte, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, err
	}
	var plain []byte
	var err error
	switch id := info.Algorithm.Algorithm.String(); id {
	case oidPBES2:
		plain, err = decryptPBES2(info.Algorithm.Parameters.FullBytes, info.Data, password)
	case oidPBERC4, oidPBEDES3:
		plain, err = decryptPBE(id, info.Algorithm.Parameters.FullBytes, info.Data, password)
	default:
		return nil, fmt.Errorf("the key is encrypted with %s, which is not known; encrypt it with: openssl pkcs8 -topk8 -v2 aes256", id)
	}
	if err != nil {
		return nil, err
	}
	var key struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	if _, err := asn1.Unmarshal(plain, &key); err != nil {
		return nil, errPassword
	}
	return plain, nil
}

func decryptPBES2(params, data []byte, password string) ([]byte, error) {
	var p struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	if _, err := asn1.Unmarshal(params, &p); err != nil {
		return nil, err
	}
	var kdf struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	if id := p.KDF.Algorithm.String(); id != oidPBKDF2 {
		return nil, fmt.Errorf("the key is derived with %s, which is not known", id)
	}
	if _, err := asn1.Unmarshal(p.KDF.Parameters.FullBytes, &kdf); err != nil {
		return nil, err
	}
	prf := map[string]func() hash.Hash{"": sha1.New, oidHMACSHA1: sha1.New, oidHMACSHA256: sha256.New, oidHMACSHA512: sha512.New}[kdf.PRF.Algorithm.String()]
	id := p.Cipher.Algorithm.String()
	size := map[string]int{oidAES128: 16, oidAES192: 24, oidAES256: 32, oidDES3: 24}[id]
	var iv []byte
	if _, err := asn1.Unmarshal(p.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, err
	}
	if prf == nil || size == 0 || kdf.Iterations > maxIterations {
		return nil, fmt.Errorf("the key is encrypted with %s and %s, of which one is not known", id, kdf.PRF.Algorithm)
	}
	key, err := pbkdf2.Key(prf, password, kdf.Salt, kdf.Iterations, size)
	if err != nil {
		return nil, err
	}
	block, err := newBlock(id == oidDES3, key)
	if err != nil {
		return nil, err
	}
	return decryptCBC(block, iv, data)
}

func newBlock(triple bool, key []byte) (cipher.Block, error) {
	if triple {
		return des.NewTripleDESCipher(key)
	}
	return aes.NewCipher(key)
}

// decryptCBC decrypts data and takes the padding off.
func decryptCBC(block cipher.Block, iv, data []byte) ([]byte, error) {
	n := block.BlockSize()
	if len(iv) != n || len(data) == 0 || len(data)%n != 0 {
		return nil, errors.New("the encrypted key is damaged")
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, data)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > n {
		return nil, errPassword
	}
	return plain[:len(plain)-pad], nil
}

// decryptPBE decrypts with the schemes of PKCS #12.
func decryptPBE(id string, params, data []byte, password string) ([]byte, error) {
	var p struct {
		Salt       []byte
		Iterations int
	}
	if _, err := asn1.Unmarshal(params, &p); err != nil {
		return nil, err
	}
	if p.Iterations > maxIterations {
		return nil, fmt.Errorf("%d iterations are too many", p.Iterations)
	}
	if id == oidPBERC4 {
		c, err := rc4.NewCipher(deriveKey(1, 16, password, p.Salt, p.Iterations))
		if err != nil {
			return nil, err
		}
		plain := make([]byte, len(data))
		c.XORKeyStream(plain, data)
		return plain, nil
	}
	block, err := des.NewTripleDESCipher(deriveKey(1, 24, password, p.Salt, p.Iterations))
	if err != nil {
		return nil, err
	}
	return decryptCBC(block, deriveKey(2, 8, password, p.Salt, p.Iterations), data)
}

// deriveKey derives n bytes as RFC 7292, appendix B.2, does with SHA-1; purpose is 1 for a key, 2 for an IV.
func deriveKey(purpose byte, n int, password string, salt []byte, iterations int) []byte {
	const v = sha1.BlockSize
	var secret []byte
	for _, u := range append(utf16.Encode([]rune(password)), 0) {
		secret = append(secret, byte(u>>8), byte(u))
	}
	fill := func(b []byte) []byte {
		if len(b) == 0 {
			return nil
		}
		size := (len(b) + v - 1) / v * v
		return bytes.Repeat(b, size/len(b)+1)[:size]
	}
	input := append(fill(salt), fill(secret)...)
	var derived []byte
	for {
		a := sha1.Sum(append(bytes.Repeat([]byte{purpose}, v), input...))
		for range iterations - 1 {
			a = sha1.Sum(a[:])
		}
		if derived = append(derived, a[:]...); len(derived) >= n {
			return derived[:n]
		}
		add := bytes.Repeat(a[:], v/len(a)+1)[:v]
		for block := input; len(block) > 0; block = block[v:] {
			carry := 1
			for i := v - 1; i >= 0; i-- {
				carry += int(block[i]) + int(add[i])
				block[i], carry = byte(carry), carry>>8
			}
		}
	}
}
