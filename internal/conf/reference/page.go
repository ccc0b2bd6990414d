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

- A value that does not fit its key stops the start; the message names file, line, key and value.
- An unknown key is a warning that names the nearest known key. A key that is set twice is a warning, too; the last one
  counts. With ` + "`--strict-config`" + ` both stop the start.
- A key of RocketMQ 5.5.0 that is not on this page is accepted and has no effect; the log names such keys once.
- Whole numbers may be written as a product, as in ` + "`1024*1024`" + `. Blanks around a value are dropped. A switch is true or
  false, nothing else.
- *live*: can be changed while the server runs (` + "`mqadmin updateBrokerConfig`" + `, ` + "`updateNamesrvConfig`" + `). All others are refused over
  the network.
`

// sections are the structs that the page describes.
var sections = []struct {
	title, dir, typeName string
}{
	{"Name server", "internal/nameserver", "Options"},
	{"Broker", "internal/broker", "Options"},
}

// setting is one key of a struct.
type setting struct {
	key, fallback, unit, doc string
	live                     bool
}

// page returns the reference page for the module at root.
func page(root string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(intro)
	for _, s := range sections {
		settings, err := read(filepath.Join(root, s.dir), s.typeName)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.dir, err)
		}
		fmt.Fprintf(&b, "\n## %s\n\n| key | default | meaning |\n|---|---|---|\n", s.title)
		for _, st := range settings {
			b.WriteString(st.row())
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
	return fmt.Sprintf("| %s | %s | %s |\n", s.key, strings.TrimSpace(fallback), strings.ReplaceAll(meaning, "|", `\|`))
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
		all = append(all, setting{key: key, fallback: tag.Get("default"), unit: tag.Get("unit"), doc: doc, live: tag.Get("live") == "true"})
	}
	return all, errors.Join(errs...)
}
