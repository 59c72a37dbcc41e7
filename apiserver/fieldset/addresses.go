package fieldset

import (
	"bytes"
	"errors"
	"reflect"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// The fields of an item of a list have the item's key in their path. One list has a key that no two objects share: the address
// of a pod, in status.podIPs. Because of it, what kubelets report of thousands of pods would change as many different fields; so an
// address can be hidden: in its place is a mark. It must be the only one, for items are sorted by their keys.

// hidden stands for the address. It is none itself.
const hidden = "@"

// errPlain says that no address can be hidden: there are several, or a text is none, as validation will find.
var errPlain = errors.New("addresses must stay as they are")

// byAddress says that the items of a list are told apart by their addresses.
func (s *shape) byAddress() bool {
	return s.form == keyed && len(s.keys) == 1 && s.keys[0].name == "ip"
}

// isAddress says that a text has only what addresses are made of.
func isAddress(text string) bool {
	return text != "" && strings.Trim(text, "0123456789abcdefABCDEF:.") == ""
}

// name is the path element of an item of a list, its address hidden if it shall be.
func (w *walk) name(s *shape, item reflect.Value) (fieldpath.PathElement, error) {
	element, err := s.element.name(s, item)
	if err != nil || !w.hides || !s.byAddress() {
		return element, err
	}
	address := (*element.Key)[0].Value.AsString()
	if w.address == "" {
		w.address = address
	}
	if address != w.address || !isAddress(address) {
		return element, errPlain
	}
	return fieldpath.PathElement{Key: &value.FieldList{{Name: "ip", Value: value.NewValueInterface(hidden)}}}, nil
}

// keyBegin and keyEnd are around an address in the encoded form of a set of fields: "k:{\"ip\":\"10.97.2.3\"}".
var keyBegin, keyEnd = []byte(`{\"ip\":\"`), []byte(`\"}`)

// AddressIn finds the address in an encoded set of fields; known is one that was found in another set, or "". It returns false when
// there are several, or one that is none.
func AddressIn(encoded []byte, known string) (string, bool) {
	only := true
	eachAddress(encoded, func(address []byte) string {
		if known == "" {
			known = string(address)
		}
		only = only && known == string(address) && isAddress(known)
		return ""
	})
	return known, only
}

// Hide hides an address in an encoded set of fields that has no other, and Show shows it again. Both return the set itself when
// there is nothing to do.
func Hide(encoded []byte, address string) []byte {
	if address == "" {
		return encoded
	}
	return eachAddress(encoded, func([]byte) string { return hidden })
}

// Show undoes Hide.
func Show(encoded []byte, address string) []byte {
	if address == "" {
		return encoded
	}
	return eachAddress(encoded, func([]byte) string { return address })
}

// eachAddress replaces the addresses in an encoded set of fields.
func eachAddress(encoded []byte, replace func(address []byte) string) []byte {
	if !bytes.Contains(encoded, keyBegin) {
		return encoded
	}
	replaced := make([]byte, 0, len(encoded)+len("255.255.255.255"))
	for {
		before, rest, found := bytes.Cut(encoded, keyBegin)
		address, after, ended := bytes.Cut(rest, keyEnd)
		if !found || !ended {
			return append(replaced, encoded...)
		}
		replaced = append(append(append(replaced, before...), keyBegin...), replace(address)...)
		replaced = append(replaced, keyEnd...)
		encoded = after
	}
}
