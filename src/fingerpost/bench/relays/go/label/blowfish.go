// Blowfish (Schneier, 1993), of which Go's standard library has no copy: decryption, and what the key schedule needs.

package label

import (
	"encoding/binary"
	"errors"
	"math/big"
	"sync"
)

const (
	blockBytes = 8
	rounds     = 16
)

type blowfish struct {
	p [rounds + 2]uint32
	s [4][256]uint32
}

// initial is the state before any key: the binary digits of pi behind the point. Computing them takes some
// 40 ms, once, and is easier to check than a table of a thousand numbers.
var initial = sync.OnceValue(func() blowfish {
	var state blowfish
	words := len(state.p) + len(state.s)*len(state.s[0])
	digits := piFraction(uint(32 * words)).FillBytes(make([]byte, 4*words))
	next := func() uint32 {
		word := binary.BigEndian.Uint32(digits)
		digits = digits[4:]
		return word
	}
	for i := range state.p {
		state.p[i] = next()
	}
	for i := range state.s {
		for j := range state.s[i] {
			state.s[i][j] = next()
		}
	}
	return state
})

// piFraction returns the first bits of pi's fraction, by Machin's formula: pi/4 = 4 arctan(1/5) - arctan(1/239).
func piFraction(bits uint) *big.Int {
	const guard = 64 // bits for what the divisions cut off
	one := new(big.Int).Lsh(big.NewInt(1), bits+guard)
	pi := new(big.Int).Mul(big.NewInt(16), arctanOfInverse(5, one))
	pi.Sub(pi, new(big.Int).Mul(big.NewInt(4), arctanOfInverse(239, one)))
	pi.Sub(pi, new(big.Int).Mul(big.NewInt(3), one))
	return pi.Rsh(pi, guard)
}

// arctanOfInverse returns arctan(1/x) as a multiple of 1/one.
func arctanOfInverse(x int64, one *big.Int) *big.Int {
	power := new(big.Int).Quo(one, big.NewInt(x))
	square, sum, term := big.NewInt(x*x), new(big.Int), new(big.Int)
	for n := int64(1); power.Sign() != 0; n += 2 {
		term.Quo(power, big.NewInt(n))
		if n%4 == 1 {
			sum.Add(sum, term)
		} else {
			sum.Sub(sum, term)
		}
		power.Quo(power, square)
	}
	return sum
}

func newBlowfish(key []byte) (*blowfish, error) {
	if len(key) < 4 || len(key) > 56 {
		return nil, errors.New("a Blowfish key has 4 to 56 bytes")
	}
	state := initial()
	for i, at := 0, 0; i < len(state.p); i++ {
		var word uint32
		for range 4 {
			word = word<<8 | uint32(key[at%len(key)])
			at++
		}
		state.p[i] ^= word
	}
	var l, r uint32
	for i := 0; i < len(state.p); i += 2 {
		l, r = state.encrypt(l, r)
		state.p[i], state.p[i+1] = l, r
	}
	for i := range state.s {
		for j := 0; j < len(state.s[i]); j += 2 {
			l, r = state.encrypt(l, r)
			state.s[i][j], state.s[i][j+1] = l, r
		}
	}
	return &state, nil
}

func (b *blowfish) encrypt(l, r uint32) (uint32, uint32) {
	for i := 0; i < rounds; i++ {
		l ^= b.p[i]
		r ^= b.f(l)
		l, r = r, l
	}
	return r ^ b.p[rounds+1], l ^ b.p[rounds]
}

// decrypt undoes whole blocks, in place.
func (b *blowfish) decrypt(text []byte) {
	for ; len(text) >= blockBytes; text = text[blockBytes:] {
		l, r := binary.BigEndian.Uint32(text), binary.BigEndian.Uint32(text[4:])
		for i := rounds + 1; i > 1; i-- {
			l ^= b.p[i]
			r ^= b.f(l)
			l, r = r, l
		}
		binary.BigEndian.PutUint32(text, r^b.p[0])
		binary.BigEndian.PutUint32(text[4:], l^b.p[1])
	}
}

func (b *blowfish) f(x uint32) uint32 {
	return ((b.s[0][x>>24] + b.s[1][x>>16&0xff]) ^ b.s[2][x>>8&0xff]) + b.s[3][x&0xff]
}
