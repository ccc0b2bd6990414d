package skua_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/skuamq/skua"

// layout says which packages of this module a package may import: those in its own line, which must stand above it.
// docs/design.md draws it.
var layout = []struct {
	name    string
	imports string
}{
	{"root", ""}, // the nouns

	// Formats and mechanisms.
	{"internal/conf", ""},
	{"internal/fastjson", ""},
	{"internal/assign", "root"},
	{"internal/filter", "root"},
	{"internal/record", "root"},
	{"internal/layout", "internal/record"},
	{"internal/segment", ""},
	{"internal/metrics", ""},
	{"internal/txn", "root internal/record"},
	{"internal/command", "root internal/fastjson"},
	{"internal/jsonfile", "internal/command internal/fastjson"},
	{"internal/static", "root internal/command"},
	{"internal/wire", "root internal/command"},

	// Engines, which know neither command nor wire, and the public interface.
	{"internal/timer", "root internal/layout internal/record internal/segment"},
	{"internal/compact", "root internal/layout internal/record internal/segment"},
	{"internal/store", "root internal/layout internal/record internal/segment"},
	{"internal/inspect", "root internal/fastjson internal/layout internal/record internal/segment"},
	{"client", "root internal/assign internal/command internal/fastjson internal/filter internal/record internal/static internal/wire"},
	{"admin", "root client internal/command internal/fastjson internal/record internal/wire"},
	{"internal/bench", "root client internal/command internal/record internal/wire"},

	// Servers, blind to one another.
	{"internal/nameserver", "root internal/command internal/conf internal/fastjson internal/jsonfile internal/wire"},
	{"internal/broker", "root internal/assign internal/command internal/compact internal/conf internal/fastjson internal/filter internal/jsonfile internal/layout internal/metrics internal/record internal/static internal/store internal/timer internal/txn internal/wire"},

	// What puts it together.
	{"internal/conf/reference", "internal/conf"},
	{"internal/node", "root internal/broker internal/conf internal/nameserver internal/wire"},
	{"cmd/skua", "root admin client internal/bench internal/broker internal/conf internal/inspect internal/nameserver internal/node internal/record internal/wire"},
}

// pure packages compute: time comes in as a value, and nothing runs beside the caller.
var pure = []string{"internal/record", "internal/layout", "internal/segment", "internal/command", "internal/fastjson", "internal/conf", "internal/assign", "internal/filter",
	"internal/static", "internal/timer", "internal/txn"}

const maxFileLines = 1000

func TestImports(t *testing.T) {
	allowed := map[string][]string{}
	for _, l := range layout {
		for _, name := range strings.Fields(l.imports) {
			if _, above := allowed[name]; !above {
				t.Errorf("layout: %s may import %s, which does not stand above it", l.name, name)
			}
		}
		allowed[l.name] = strings.Fields(l.imports)
	}
	var errs bytes.Buffer
	list := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...")
	list.Stderr = &errs
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &errs)
	}
	for line := range strings.Lines(string(out)) {
		paths := strings.Fields(line)
		name := inModule(paths[0])
		permitted, ok := allowed[name]
		if !ok {
			t.Errorf("%s is not in the layout: add it with what it may import", name)
			continue
		}
		for _, p := range paths[1:] {
			if imported := inModule(p); imported != "" && !slices.Contains(permitted, imported) {
				t.Errorf("%s imports %s, which the layout does not allow", name, imported)
			}
		}
	}
}

// inModule shortens an import path of this module; it is "" for others and "root" for the root package.
func inModule(importPath string) string {
	if importPath == module {
		return "root"
	}
	if rest, ok := strings.CutPrefix(importPath, module+"/"); ok {
		return rest
	}
	return ""
}

func TestFiles(t *testing.T) {
	documented := map[string]bool{} // by directory
	tokens := token.NewFileSet()
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "testdata" || name == "interop" || len(name) > 1 && name[0] == '.' {
				return filepath.SkipDir
			}
			return nil
		}
		if path.Ext(file) != ".go" {
			return nil
		}
		parsed, err := parser.ParseFile(tokens, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if n := tokens.File(parsed.FileStart).LineCount(); n > maxFileLines {
			t.Errorf("%s has %d lines, more than %d", file, n, maxFileLines)
		}
		if strings.HasSuffix(file, "_test.go") {
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(file))
		documented[dir] = documented[dir] || parsed.Doc != nil
		if slices.Contains(pure, dir) {
			checkPure(t, tokens, parsed)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// checkPure finds go statements and looks at the clock.
func checkPure(t *testing.T, tokens *token.FileSet, f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s: a go statement in a package that must not run anything beside its caller", tokens.Position(n.Pos()))
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "After", "Sleep"}, n.Sel.Name) {
				t.Errorf("%s: time.%s in a package that must be told the time", tokens.Position(n.Pos()), n.Sel.Name)
			}
		}
		return true
	})
}
