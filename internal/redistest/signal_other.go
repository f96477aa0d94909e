//go:build !unix

package redistest

import "os"

// Without these signals Pause and Resume return errors.ErrUnsupported.
var pauseSignal, resumeSignal os.Signal
