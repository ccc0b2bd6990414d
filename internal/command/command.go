// Package command holds the vocabulary of the remoting protocol: request and response codes, typed headers and bodies.
// It hides how header fields are spelled; what a frame looks like is package wire's.
//
// A header travels as a map of strings, the extFields. Decode fills a typed header from them and Encode writes one. The
// headers of hot requests (send, pull, offset update) do so by hand and without allocation; their []byte fields are
// views of the frame that they came from. All others are plain structs with field tags, read and written by reflection.
package command

import "strconv"

// Code is a request code.
type Code int32

// String gives Java's name of the code, or its number.
func (c Code) String() string {
	if s, ok := codeNames[c]; ok {
		return s
	}
	return strconv.Itoa(int(c))
}

// Status is a response code.
type Status int32

// String gives Java's name of the status, or its number.
func (s Status) String() string {
	if n, ok := statusNames[s]; ok {
		return n
	}
	return strconv.Itoa(int(s))
}

// Language is the language of a peer, the byte of the compact header.
type Language int8

// Languages that peers announce.
const (
	Java Language = iota
	CPP
	Dotnet
	Python
	Delphi
	Erlang
	Ruby
	Other
	HTTP
	Go
	PHP
	OMS
	Rust
	NodeJS
)

var languageNames = [...]string{"JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO", "PHP", "OMS", "RUST", "NODE_JS"}

// String gives the name as in JSON headers; an unknown language is OTHER.
func (l Language) String() string {
	if l < 0 || int(l) >= len(languageNames) {
		return "OTHER"
	}
	return languageNames[l]
}
