package codecs

import (
	"fmt"
	"runtime"

	"github.com/bytedance/sonic"
)

// SonicMode says whether sonic works here or stands in for encoding/json, as it does
// on versions of Go and processors that it does not know.
func SonicMode() string {
	// Its own decoder accepts this by default; encoding/json, its stand-in, replaces
	// the byte.
	var got string
	if err := sonic.UnmarshalString("\"a\xffb\"", &got); err != nil || got != "a\xffb" {
		return fmt.Sprintf("falls back to encoding/json on %s %s", runtime.Version(), runtime.GOARCH)
	}
	return fmt.Sprintf("runs with its own code on %s %s; with each Go release that it does not know yet it falls back to encoding/json", runtime.Version(), runtime.GOARCH)
}
