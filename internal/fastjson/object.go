package fastjson

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// member is a field of a struct as a JSON member.
type member struct {
	name     string
	index    []int // for reflect.Value.FieldByIndex
	omitZero bool
}

// shape is how a struct is written.
type shape struct {
	members []member // sorted by name
	unknown []int    // index of the field that keeps unknown members; nil for none
}

var shapes sync.Map // reflect.Type -> *shape

func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := new(shape)
	s.add(t, nil)
	slices.SortFunc(s.members, func(a, b member) int { return cmp.Compare(a.name, b.name) })
	shapes.Store(t, s)
	return s
}

// add adds the fields of t, which is at index; embedded structs count as their fields.
func (s *shape) add(t reflect.Type, index []int) {
	for i := range t.NumField() {
		field := t.Field(i)
		at := append(slices.Clone(index), i)
		name, rest, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case rest == "embed":
			s.unknown = at
		case name == "-":
		case field.Anonymous && name == "":
			s.add(field.Type, at)
		case field.IsExported():
			s.members = append(s.members, member{cmp.Or(name, field.Name), at, rest == "omitzero"})
		}
	}
}

// objectMember is a member that will be written.
type objectMember struct {
	name  string
	value reflect.Value
}

func (w *writer) object(v reflect.Value) error {
	s := shapeOf(v.Type())
	list := make([]objectMember, 0, len(s.members))
	for _, m := range s.members {
		value := v.FieldByIndex(m.index)
		if value.Kind() == reflect.Pointer && value.IsNil() || m.omitZero && value.IsZero() {
			continue
		}
		list = append(list, objectMember{m.name, value})
	}
	if s.unknown != nil {
		list = s.addUnknown(list, v.FieldByIndex(s.unknown).Bytes())
	}
	return w.sequence('{', '}', len(list), func(i int) error {
		w.string(list[i].name)
		w.out = append(w.out, ':')
		return w.value(list[i].value)
	})
}

// addUnknown adds the members of object, which Unmarshal kept, in their place by name.
func (s *shape) addUnknown(list []objectMember, object []byte) []objectMember {
	var members map[string]jsontext.Value
	if len(object) == 0 || json.Unmarshal(object, &members, options) != nil {
		return list
	}
	for name, value := range members {
		known := slices.ContainsFunc(s.members, func(m member) bool { return m.name == name })
		if !known {
			list = append(list, objectMember{name, reflect.ValueOf(value)})
		}
	}
	slices.SortFunc(list, func(a, b objectMember) int { return cmp.Compare(a.name, b.name) })
	return list
}
