package behind

import (
	"errors"
	"fmt"
)

// Judgement is what an error of the sink says of the one value that it is about.
type Judgement uint8

const (
	// Failed: another try may help.
	Failed Judgement = iota
	// Permanent: none can.
	Permanent
	// HadNewer: the sink has a newer version, and left it alone. The value counts as
	// written, but is not to be kept as what the sink has.
	HadNewer
	// Unreadable: this process does not understand the value, and has not given it to
	// the sink. Such a try counts whatever else the sink takes.
	Unreadable
)

// BatchError says of each key in a batch that is not written why. The others are.
type BatchError map[string]error

// Error says how many there are.
func (b BatchError) Error() string {
	for _, err := range b {
		if len(b) == 1 {
			return err.Error()
		}
		return fmt.Sprintf("%d values were not written, one of them: %v", len(b), err)
	}
	return "nothing failed"
}

// PanicError is what a sink's panic counts as.
type PanicError struct {
	Value any
	Stack []byte
}

// Error names the value.
func (p *PanicError) Error() string { return fmt.Sprintf("the sink panicked: %v", p.Value) }

var (
	errLost     = errors.New("the record is gone: evicted, removed or overwritten")
	errSinkExit = errors.New("the sink called Goexit")
	errUntried  = errors.New("its turn did not come") // no failure
)
