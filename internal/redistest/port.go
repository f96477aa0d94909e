package redistest

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are drawn below the range from which systems take the ports of outgoing
// connections, so that none of those can sit on the port of a server that was
// killed and is started again. The bus of a cluster node is busOffset above it.
const (
	firstPort = 10_000
	ports     = 10_000
	busOffset = 10_000
	draws     = 200
)

// taken holds the ports this process has handed out and not got back. A server
// that is down keeps its port.
var taken = struct {
	sync.Mutex
	ports map[int]bool
}{ports: make(map[int]bool)}

// reservePort returns a loopback port on which nothing listens and that this
// process gives to nobody else until releasePort. Another process may still take
// it: the caller tries again with another.
func reservePort(bus bool) (int, error) {
	taken.Lock()
	defer taken.Unlock()
	for range draws {
		port := firstPort + rand.IntN(ports)
		if taken.ports[port] || !isFree(port) || bus && !isFree(port+busOffset) {
			continue
		}
		taken.ports[port] = true
		return port, nil
	}
	return 0, errors.New("redistest: no free port")
}

// releasePort gives a port back. Twice is harmless.
func releasePort(port int) {
	taken.Lock()
	defer taken.Unlock()
	delete(taken.ports, port)
}

// isFree reports whether one can listen on the port.
func isFree(port int) bool {
	l, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
