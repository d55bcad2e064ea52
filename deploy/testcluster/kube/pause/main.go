// Command pause holds the namespaces of a pod and does nothing else: the container that every pod has besides its own.
//
// It sleeps until it is told to end. With one process in a pod's process namespace there is nobody to reap; a pod that
// shares that namespace makes it process 1, so it reaps what is orphaned there.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}
