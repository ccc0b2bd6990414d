package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/skuamq/skua/internal/conf"
)

// pageFile is the page, relative to the root of the module.
const pageFile = "docs/configuration.md"

const intro = `# Configuration

This page is generated from the source by ` + "`make generate`" + `; do not edit it.

Skua reads the configuration files of RocketMQ: properties (` + "`key=value`" + `, ISO-8859-1, nothing is expanded) with RocketMQ's
keys and defaults. A later line of this list wins over an earlier one:

1. the defaults below,
2. the environment: ` + "`NAMESRV_ADDR`" + ` sets namesrvAddr,
3. the file given with ` + "`-c`" + `,
4. the command line: flags, and settings written as ` + "`key=value`" + `.

` + "`skua broker -c broker.conf -p`" + ` prints every key with its value and where that came from, and ends; ` + "`skua namesrv -p`" + ` likewise.

- A value that does not fit its key stops the start; the message names file, line, key and value, and says what would do. Numbers
  under *values* count in the unit of the default.
- An unknown key is a warning that names the nearest known key. A key that is set twice is a warning, too; the last one
  counts. With ` + "`--strict-config`" + ` both stop the start.
- The other keys of RocketMQ 5.5.0 are accepted without effect; when one is set, the log says why. The lists at the end have all
  of them.
- Whole numbers may be written as a product, as in ` + "`1024*1024`" + `; bytes also with a unit, as in ` + "`512MB` or `10GB`" + ` (1024 each). Blanks
  around a value are dropped. A switch is true or false, nothing else.
- *live*: can be changed while the server runs (` + "`mqadmin updateBrokerConfig`" + `, ` + "`updateNamesrvConfig`" + `). All others are refused over
  the network.
`

// sections are the structs that the page describes.
var sections = []struct {
	title, dir, typeName string
	role                 conf.Role
}{
	{"Name server", "internal/nameserver", "Options", conf.Nameserver},
	{"Broker", "internal/broker", "Options", conf.Broker},
}

// setting is one key of a struct.
type setting struct {
	key, fallback, unit, values, doc string
	live                             bool
}

// page returns the reference page for the module at root.
func page(root string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(intro)
	own := map[conf.Role]map[string]bool{}
	for _, s := range sections {
		settings, err := read(filepath.Join(root, s.dir), s.typeName)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.dir, err)
		}
		fmt.Fprintf(&b, "\n## %s\n\n| key | default | values | meaning |\n|---|---|---|---|\n", s.title)
		own[s.role] = map[string]bool{}
		for _, st := range settings {
			b.WriteString(st.row())
			own[s.role][st.key] = true
		}
	}
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s: keys of RocketMQ without effect\n\n| why | keys |\n|---|---|\n", s.title)
		for _, idle := range conf.IdleKeys(s.role, func(key string) bool { return own[s.role][key] }) {
			if idle.Why == "" {
				return nil, fmt.Errorf("internal/conf/idle.tsv does not say why these keys have no effect: %v", idle.Keys)
			}
			fmt.Fprintf(&b, "| %s | %s |\n", idle.Why, strings.Join(idle.Keys, ", "))
		}
	}
	return b.Bytes(), nil
}

func (s setting) row() string {
	fallback := ""
	if s.fallback != "" {
		fallback = "`" + s.fallback + "`"
	}
	if s.unit != "" {
		fallback += " " + s.unit
	}
	meaning := s.doc
	if s.live {
		meaning += " *live*"
	}
	return fmt.Sprintf("| %s | %s | %s | %s |\n", s.key, strings.TrimSpace(fallback), s.values, strings.ReplaceAll(meaning, "|", `\|`))
}

// values says what a key takes by its tags: "1 to 100", "auto, on, off", or nothing.
func values(tag reflect.StructTag) string {
	low, high := tag.Get("min"), tag.Get("max")
	switch {
	case low != "" && high != "":
		return low + " to " + high
	case low != "":
		return "at least " + low
	case high != "":
		return "at most " + high
	}
	return strings.Join(strings.Fields(tag.Get("oneOf")), ", ")
}

// read returns the settings of a struct type in the package in dir.
func read(dir, typeName string) ([]setting, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	structs := map[string]*ast.StructType{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if st, ok := spec.Type.(*ast.StructType); ok {
					structs[spec.Name.Name] = st
				}
			}
			return true
		})
	}
	return collect(structs, typeName)
}

func collect(structs map[string]*ast.StructType, typeName string) ([]setting, error) {
	st, ok := structs[typeName]
	if !ok {
		return nil, fmt.Errorf("there is no struct type %s", typeName)
	}
	var all []setting
	var errs []error
	for _, f := range st.Fields.List {
		if embedded, ok := f.Type.(*ast.Ident); ok && len(f.Names) == 0 {
			inner, err := collect(structs, embedded.Name)
			all, errs = append(all, inner...), append(errs, err)
			continue
		}
		if f.Tag == nil {
			continue
		}
		text, err := strconv.Unquote(f.Tag.Value)
		if err != nil {
			return nil, err
		}
		tag := reflect.StructTag(text)
		key, ok := tag.Lookup("key")
		if !ok {
			continue
		}
		doc := strings.Join(strings.Fields(f.Doc.Text()), " ")
		if doc == "" {
			errs = append(errs, fmt.Errorf("the field of %s has no comment above it", key))
		}
		all = append(all, setting{key: key, fallback: tag.Get("default"), unit: tag.Get("unit"), values: values(tag),
			doc: doc, live: tag.Get("live") == "true"})
	}
	return all, errors.Join(errs...)
}
