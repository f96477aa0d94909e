package cache

import "sync"

// scratches are buffers for what a codec makes on its way to other bytes.
var scratches = sync.Pool{New: func() any { return new([]byte) }}

// scratchKept is the largest buffer in bytes that is kept: one huge value must
// not hold memory for good.
const scratchKept = 1 << 20

func borrowScratch() *[]byte { return scratches.Get().(*[]byte) }

// returnScratch gives b back, as buf: what b has grown to.
func returnScratch(b *[]byte, buf []byte) {
	if cap(buf) > scratchKept {
		return
	}
	*b = buf[:0]
	scratches.Put(b)
}
