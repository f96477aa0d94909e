package main

import (
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// PostgreSQL refuses to run as root, as whom a container often runs tests.

// asOther are the attributes of a process of another user, if this is root's. It
// ends with this one.
func asOther() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
	if uid, gid, ok := other(); ok {
		attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return attributes
}

// ownedByOther gives the folder to that user.
func ownedByOther(folder string) error {
	if uid, gid, ok := other(); ok {
		return os.Chown(folder, uid, gid)
	}
	return nil
}

func other() (uid, gid int, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, _ = strconv.Atoi(u.Uid)
			gid, _ = strconv.Atoi(u.Gid)
			return uid, gid, uid != 0
		}
	}
	return 0, 0, false
}
