// Package label finds where to: the first label of a Host is hex of Blowfish-ECB of host:port.
package label

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
)

// ErrUnknown says that a label names no address.
var ErrUnknown = errors.New("no such label")

// Key opens labels.
type Key struct{ cipher *blowfish }

// NewKey returns the key of 4 to 56 bytes.
func NewKey(secret []byte) (*Key, error) {
	cipher, err := newBlowfish(secret)
	if err != nil {
		return nil, err
	}
	return &Key{cipher}, nil
}

// ReadKey reads the key that is the text of a file.
func ReadKey(file string) (*Key, error) {
	secret, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return NewKey(bytes.TrimSpace(secret))
}

// Address returns the host:port that a Host field's value names in its first label.
func (k *Key) Address(host string) (string, error) {
	first, _, _ := strings.Cut(host, ".")
	text, err := hex.DecodeString(first)
	if err != nil || len(text) == 0 || len(text)%blockBytes != 0 {
		return "", ErrUnknown
	}
	k.cipher.decrypt(text)
	name, port, err := net.SplitHostPort(string(withoutPadding(text)))
	if err != nil || name == "" {
		return "", ErrUnknown
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return "", ErrUnknown
	}
	if name == "0.0.0.0" { // what an app listens on, written into its label as it is
		name = "127.0.0.1"
	}
	return net.JoinHostPort(name, port), nil
}

// withoutPadding removes PKCS #5 padding, or zeros.
func withoutPadding(text []byte) []byte {
	last := text[len(text)-1]
	if padding := int(last); padding >= 1 && padding <= blockBytes {
		if bytes.Count(text[len(text)-padding:], []byte{last}) == padding {
			return text[:len(text)-padding]
		}
	}
	return bytes.TrimRight(text, "\x00")
}
