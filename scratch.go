package cache

import "sync"

// scratches are buffers for what a codec makes on its way to other bytes.
var scratches = sync.Pool{New: func() any { return new([]byte) }}

// scratchKept is the largest buffer in bytes that is kept: one huge value must
// not hold memory for good.
const scratchKept = 1 << 20

func borrowScratch() *[]byte { return scratches.Get().(*[]byte) }

// borrowScratchIf is borrowScratch, with its room, if pooled; else the room is new, of
// size bytes, and there is nothing to give back.
func borrowScratchIf(pooled bool, size int) (b *[]byte, room []byte) {
	if pooled {
		b = borrowScratch()
		return b, *b
	}
	return nil, make([]byte, 0, size)
}

// returnScratch gives b back, as buf: what b has grown to.
func returnScratch(b *[]byte, buf []byte) {
	if b == nil || cap(buf) > scratchKept {
		return
	}
	*b = buf[:0]
	scratches.Put(b)
}
