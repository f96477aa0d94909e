package rules_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

const (
	module = "github.com/larder-go/cache"
	root   = "../.."
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is one Go file of the repository.
type source struct {
	path  string // slash-separated, from the repository's root
	text  []byte
	tree  *ast.File
	fset  *token.FileSet
	tests bool
}

func (s source) dir() string { return filepath.ToSlash(filepath.Dir(s.path)) }

func (s source) imports() (paths []string) {
	for _, spec := range s.tree.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, path)
	}
	return paths
}

// in reports whether the file is in one of the folders or below them.
func (s source) in(folders ...string) bool {
	for _, folder := range folders {
		if s.dir() == folder || strings.HasPrefix(s.dir(), folder+"/") {
			return true
		}
	}
	return false
}

func sources(t *testing.T) (all []source) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		tree, err := parser.ParseFile(fset, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		all = append(all, source{
			path: filepath.ToSlash(rel), text: text, tree: tree, fset: fset,
			tests: strings.HasSuffix(path, "_test.go"),
		})
		return err
	}))
	require.NotEmpty(t, all)
	return all
}

func TestNoFileIsLongerThan400Lines(t *testing.T) {
	for _, s := range sources(t) {
		lines := bytes.Count(s.text, []byte("\n"))
		assert.LessOrEqual(t, lines, 400, "%s: which noun is hiding in it?", s.path)
	}
}

// A reader of the root has to know what is there: what it does not need to know has a room
// in internal/.
func TestTheRootHasAtMost42Sources(t *testing.T) {
	var files []string
	for _, s := range sources(t) {
		if s.dir() == "." && !s.tests {
			files = append(files, s.path)
		}
	}
	assert.LessOrEqual(t, len(files), 42, "%v", files)
}

func TestTestLibrariesStayInTests(t *testing.T) {
	for _, s := range sources(t) {
		if s.tests || s.in("internal", "examples", "cachetest", "bench") {
			continue
		}
		for _, path := range s.imports() {
			for _, banned := range []string{"testing", "testify", "miniredis", "goleak", "rapid"} {
				assert.NotContains(t, path, banned, "%s", s.path)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if s.tests {
			continue
		}
		documented[s.dir()] = documented[s.dir()] || s.tree.Doc != nil
	}
	for dir, ok := range documented {
		assert.True(t, ok, "%s has no package comment", dir)
	}
}

// What internal/bus may call on a client: messages, and nothing that could be
// told to store. go-redis' own receive loop is not among it, as its package
// comment says.
func TestTheBusSendsMessagesAlone(t *testing.T) {
	banned := []string{
		"Channel", "ChannelWithSubscriptions", "Receive", "ReceiveMessage", "Do", "Process", "Pipeline", "Pipelined",
		"TxPipeline", "TxPipelined", "Eval", "EvalSha", "Get", "Set", "Del", "SPublish", "SSubscribe", "PSubscribe",
	}
	for _, s := range sources(t) {
		if s.tests || !s.in("internal/bus") {
			continue
		}
		for _, call := range calls(s) {
			assert.NotContains(t, banned, call.method, "%s", call.at)
		}
	}
}

// call is one method or function called through a dot.
type call struct {
	of, method string // of is "" where it is no plain name
	at         token.Position
	intoRows   bool // Scan(&column, …), of a database
}

func calls(s source) (all []call) {
	ast.Inspect(s.tree, func(n ast.Node) bool {
		expr, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if method, ok := expr.Fun.(*ast.SelectorExpr); ok {
			c := call{method: method.Sel.Name, at: s.fset.Position(n.Pos())}
			if len(expr.Args) > 0 {
				pointer, ok := expr.Args[0].(*ast.UnaryExpr)
				c.intoRows = ok && pointer.Op == token.AND && c.method == "Scan"
			}
			if of, ok := method.X.(*ast.Ident); ok {
				c.of = of.Name
			}
			all = append(all, c)
		}
		return true
	})
	return all
}

// Commands that walk or empty a keyspace would stop a shared Redis, or delete
// what is not ours.
var walkers = []string{"Keys", "Scan", "ScanType", "HScan", "ZScan", "FlushDB", "FlushAll", "FlushDBAsync", "FlushAllAsync"}

// walkerNames are the same in the text of a script or of a raw command.
var walkerNames = []string{"KEYS", "SCAN", "HSCAN", "ZSCAN", "FLUSHDB", "FLUSHALL"}

func TestNothingWalksOrEmptiesTheKeyspace(t *testing.T) {
	for _, s := range sources(t) {
		// The servers of our own tests may be emptied; benchmarks and stress runs start theirs.
		if s.tests || s.in("internal/redistest", "internal/stress", "bench") {
			continue
		}
		for _, call := range calls(s) {
			if call.of != "maps" && !call.intoRows {
				assert.NotContains(t, walkers, call.method, "%s", call.at)
			}
		}
		for _, text := range literals(s) {
			assert.NotContains(t, walkerNames, strings.ToUpper(text), "%s", s.path)
		}
	}
	scripts, err := filepath.Glob(root + "/internal/*/lua/*.lua")
	require.NoError(t, err)
	require.NotEmpty(t, scripts)
	for _, path := range scripts {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, name := range walkerNames {
			for _, quoted := range []string{"'" + name + "'", `"` + name + `"`} {
				assert.NotContains(t, strings.ToUpper(string(text)), quoted, path)
			}
		}
	}
}

// literals returns the strings that are written in the file.
func literals(s source) (all []string) {
	ast.Inspect(s.tree, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if text, err := strconv.Unquote(l.Value); err == nil {
				all = append(all, text)
			}
		}
		return true
	})
	return all
}

func TestTheProjectSpeaksOfItselfAlone(t *testing.T) {
	for _, s := range sources(t) {
		for _, banned := range []string{"/wor" + "k/", "/ro" + "ot/", "TO" + "DO", "FIX" + "ME"} {
			assert.NotContains(t, string(s.text), banned, "%s", s.path)
		}
	}
}

// words are those that the vocabulary has replaced: nobody knows them, or they meant two
// things. What is there today is said in ARCHITECTURE.md.
var words = []string{
	"cargo", "consider", "cool", "crew", "desert", "doctor", "errand", "exam", "freight", "giveWay",
	"givesWay", "goAlone", "goLast", "hands", "heeds", "landed", "landing", "lane", "lanes", "legible", "nearby",
	"odds", "owed", "owes", "peek", "sight", "sitOut", "stake", "taught", "tidy", "uncleared", "weigh",
}

func TestTheWordsOfBeforeDoNotComeBack(t *testing.T) {
	banned := map[string]bool{}
	for _, word := range words {
		banned[word] = true
	}
	for _, s := range sources(t) {
		if s.tests || s.in("bench", "examples", "tools", "test", "internal/testkit", "internal/redistest", "internal/stress", "internal/model") {
			continue
		}
		ast.Inspect(s.tree, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok && banned[name.Name] {
				assert.Fail(t, "a word of before", "%s in %s", name.Name, s.fset.Position(name.Pos()))
			}
			return true
		})
	}
}
