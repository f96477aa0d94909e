package cache

// layer is a codec of this package around another one.
type layer uint8

// The ids of layers: one for each layer over each kind of innermost codec. They
// are in every entry, so they are frozen.
//
//	                        JSON   with an id of its own   without
//	Compressed(c)              2                       5         8
//	Encrypted(c)               3                       6         9
//	Encrypted(Compressed(c))   4                       7        10
//
// One byte cannot hold the layers and the id of a codec of the caller's. So the
// layer itself holds the inner id, too: Compressed in its payload, Encrypted in
// what it authenticates. A reader whose inner codec has another id does not
// decode the value. Only codecs without an id cannot be told apart.
const (
	layerCompressed layer = iota + 2
	layerEncrypted
	layerEncryptedCompressed
)

// over is the id of the layer around inner.
func (l layer) over(inner Codec) uint8 {
	switch c := inner.(type) {
	case *compressed:
		return layerEncryptedCompressed.over(c.inner)
	case *entryCompressed:
		return layerEncryptedCompressed.over(c.inner)
	}
	switch codecID(inner) {
	case codecID(JSON):
		return uint8(l)
	case 0:
		return uint8(l) + 6
	}
	return uint8(l) + 3
}
