//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the CPU time, user and system, that the process and its
// descendants have used since each began.
//
// It reads the kernel's CPU clock of each process: to the nanosecond, and with
// the threads that have ended. /proc/PID/stat has only ticks of 10 ms, and the
// schedstat files of a process's threads go with the threads.
func cpuTime(pid int) (time.Duration, error) {
	family, err := processFamily(pid)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, pid := range family {
		// As clock_getcpuclockid(3) makes it: the process, and its time as
		// the scheduler counts it (2).
		clock := int32(^pid)<<3 | 2
		var used unix.Timespec
		if err := unix.ClockGettime(clock, &used); err != nil {
			return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
		}
		sum += time.Duration(used.Nano())
	}
	return sum, nil
}

// memory returns the proportional set size of the process and its descendants
// in KiB: a page that several processes share counts once.
func memory(pid int) (float64, error) {
	family, err := processFamily(pid)
	if err != nil {
		return 0, err
	}
	var sum float64
	for _, pid := range family {
		rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		_, pss, _ := bytes.Cut(rollup, []byte("\nPss:"))
		fields := bytes.Fields(pss)
		if len(fields) == 0 {
			return 0, fmt.Errorf("/proc/%d/smaps_rollup has no Pss", pid)
		}
		kib, err := strconv.ParseFloat(string(fields[0]), 64)
		if err != nil {
			return 0, err
		}
		sum += kib
	}
	return sum, nil
}

// processFamily returns the process and all its descendants.
func processFamily(pid int) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// PID (name) state parent …; the name may hold anything.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || len(fields) < 2 {
			return nil, fmt.Errorf("%s: %q", file, stat)
		}
		parent, err := strconv.Atoi(string(fields[1]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		children[parent] = append(children[parent], child)
	}
	family := []int{pid}
	for i := 0; i < len(family); i++ {
		family = append(family, children[family[i]]...)
	}
	return family, nil
}
