package label

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"
)

func TestKnownLabels(t *testing.T) {
	key, err := NewKey([]byte("thisissecretkey"))
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"3fafc4c50e97eba68130981c7e0fe481.localhost":            "127.0.0.1:13001",
		"3FAFC4C50E97EBA68130981C7E0FE481.apps.example.com:443": "127.0.0.1:13001",
		"7a4fe220e12bb0c312a47e3885990a10":                      "127.0.0.1:8080", // 0.0.0.0:8080
	} {
		if got, err := key.Address(host); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", host, got, err, want)
		}
	}
}

func TestOtherHostsNameNothing(t *testing.T) {
	key, _ := NewKey([]byte("thisissecretkey"))
	for _, host := range []string{
		"", ".", "localhost", "127.0.0.1:8080", "[::1]:80", "www.example.com", "00.localhost",
		"0000000000000000.localhost", "3fafc4c50e97eba68130981c7e0fe482.localhost", "3fafc4c50e97eba6.localhost",
	} {
		if got, err := key.Address(host); err == nil {
			t.Errorf("%q: %q; want an error", host, got)
		}
	}
}

// Three of the vectors that Eric Young published for Blowfish.
func TestPublishedVectors(t *testing.T) {
	for _, vector := range [][3]string{
		{"0000000000000000", "0000000000000000", "4ef997456198dd78"},
		{"0123456789abcdef", "1111111111111111", "61f9c3802281b096"},
		{"fedcba9876543210", "0123456789abcdef", "0aceab0fc6a0a28d"},
	} {
		key, _ := hex.DecodeString(vector[0])
		clear, _ := hex.DecodeString(vector[1])
		sealed, _ := hex.DecodeString(vector[2])
		cipher, err := newBlowfish(key)
		if err != nil {
			t.Fatal(err)
		}
		l, r := cipher.encrypt(binary.BigEndian.Uint32(clear), binary.BigEndian.Uint32(clear[4:]))
		if l != binary.BigEndian.Uint32(sealed) || r != binary.BigEndian.Uint32(sealed[4:]) {
			t.Errorf("%s: encrypts to %08x%08x; want %s", vector[0], l, r, vector[2])
		}
		cipher.decrypt(sealed)
		if !bytes.Equal(sealed, clear) {
			t.Errorf("%s: decrypts to %x; want %s", vector[0], sealed, vector[1])
		}
	}
}

func TestKeysOfOtherLengthsAreRefused(t *testing.T) {
	for _, length := range []int{0, 3, 57} {
		if _, err := NewKey(make([]byte, length)); err == nil {
			t.Errorf("a key of %d bytes was taken", length)
		}
	}
}
