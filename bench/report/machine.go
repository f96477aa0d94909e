package report

import (
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// Machine is where and with what a run was made.
type Machine struct {
	CPU     string            `json:"cpu"`
	Cores   int               `json:"cores"`
	OS      string            `json:"os"`
	Arch    string            `json:"arch"`
	Go      string            `json:"go"`
	Redis   string            `json:"redis"`
	Load    string            `json:"load,omitempty"` // runnable processes over the minute before the run: others'
	Modules map[string]string `json:"modules"`
}

// compared are the modules whose versions belong to the numbers.
var compared = []string{
	"github.com/bytedance/sonic", "github.com/dgraph-io/ristretto/v2", "github.com/eko/gocache/lib/v4",
	"github.com/fxamacker/cbor/v2", "github.com/go-json-experiment/json", "github.com/go-redis/cache/v9",
	"github.com/goccy/go-json", "github.com/json-iterator/go", "github.com/maypok86/otter/v2",
	"github.com/redis/go-redis/v9", "github.com/redis/rueidis", "github.com/segmentio/encoding",
	"github.com/viccon/sturdyc", "github.com/vmihailenco/msgpack/v5",
}

// ThisMachine describes the machine and this program; redis is the server's version.
func ThisMachine(redis string) Machine {
	m := Machine{
		CPU: cpuModel(), Cores: runtime.GOMAXPROCS(0), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Go: runtime.Version(), Redis: redis, Modules: map[string]string{},
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return m
	}
	for _, dep := range info.Deps {
		if slices.Contains(compared, dep.Path) {
			m.Modules[strings.TrimPrefix(dep.Path, "github.com/")] = dep.Version
		}
	}
	return m
}

// Load1 is what others ask of the machine: Linux' load average of the last minute,
// elsewhere "". Ask before a run: it adds its own.
func Load1() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// cpuModel is what Linux says, elsewhere the architecture.
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return runtime.GOARCH
}
