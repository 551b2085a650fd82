package config

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

// TestMain fails when a test has left a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// folder is one that a test works in, beside files that are watched.
type folder struct {
	t    *testing.T
	path string

	mu    sync.Mutex
	files []string // that are watched
	calls chan string
}

func newFolder(t *testing.T) *folder {
	return &folder{t: t, path: t.TempDir(), calls: make(chan string)}
}

func (f *folder) at(name string) string { return filepath.Join(f.path, name) }

func (f *folder) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) write(name, text string) {
	f.t.Helper()
	f.must(os.WriteFile(f.at(name), []byte(text), 0o600))
}

func (f *folder) mkdir(name string)        { f.t.Helper(); f.must(os.MkdirAll(f.at(name), 0o700)) }
func (f *folder) remove(name string)       { f.t.Helper(); f.must(os.RemoveAll(f.at(name))) }
func (f *folder) rename(from, to string)   { f.t.Helper(); f.must(os.Rename(f.at(from), f.at(to))) }
func (f *folder) link(target, name string) { f.t.Helper(); f.must(os.Symlink(target, f.at(name))) }

// mount does what Kubernetes does with a folder of a ConfigMap or Secret, at first and
// with each update (AtomicWriter): the new files in a folder of their own, a link to
// it renamed over ..data, and away with the files before.
func (f *folder) mount(stamp, text string) {
	f.t.Helper()
	before, _ := os.Readlink(f.at("..data"))
	f.mkdir(stamp)
	f.write(stamp+"/wswarden.yaml", text)
	f.link(stamp, "..data_tmp")
	f.rename("..data_tmp", "..data")
	if before == "" {
		f.link("..data/wswarden.yaml", "wswarden.yaml")
	} else {
		f.remove(before)
	}
}

// watch begins to watch files of the folder, and waits for the first call.
func (f *folder) watch(files ...string) {
	f.t.Helper()
	f.watchAlso(files...)
	ctx, cancel := context.WithCancel(f.t.Context())
	var watching sync.WaitGroup
	f.t.Cleanup(func() {
		cancel()
		watching.Wait()
	})
	first := f.read()
	watching.Go(func() {
		Watch(ctx, func() []string {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.files
		}, func() {
			select {
			case f.calls <- f.read():
			case <-ctx.Done():
			}
		}, func(err error) { f.t.Error(err) })
	})
	f.want(first)
}

func (f *folder) watchAlso(files ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, file := range files {
		f.files = append(f.files[:len(f.files):len(f.files)], f.at(file))
	}
}

// read returns what there is of the files, as a program sees it that loads them.
func (f *folder) read() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var texts []string
	for _, file := range f.files {
		names, _ := filepath.Glob(filepath.Join(file, "*.y*ml"))
		for _, name := range append(names, file) {
			if text, err := os.ReadFile(name); err == nil {
				texts = append(texts, string(text))
			}
		}
	}
	return strings.Join(texts, " ")
}

// want waits for a call at which the files are like this.
func (f *folder) want(text string) {
	f.t.Helper()
	last := "nothing"
	for late := time.After(20 * time.Second); ; {
		select {
		case last = <-f.calls:
			if last == text {
				return
			}
		case <-late:
			f.t.Fatalf("no call with %q; the last was with %q", text, last)
		}
	}
}

// Each row has files, a few steps that change them, and what is read after each.
func TestWatch(t *testing.T) {
	type step struct {
		do   func(f *folder)
		want string
	}
	write := func(name, text string) func(*folder) {
		return func(f *folder) { f.write(name, text) }
	}
	for name, row := range map[string]struct {
		before func(f *folder)
		files  []string
		steps  []step
	}{
		"written in place": {write("a", "1"), []string{"a"}, []step{
			{write("a", "2"), "2"},
			{write("a", "3"), "3"},
		}},
		"renamed over, as many editors do and mv": {write("a", "1"), []string{"a"}, []step{
			{func(f *folder) { f.write("a.tmp", "2"); f.rename("a.tmp", "a") }, "2"},
			{func(f *folder) { f.write("a.tmp", "3"); f.rename("a.tmp", "a") }, "3"},
			{write("a", "4"), "4"},
		}},
		"a folder above it renamed, as releases are put in place": {func(f *folder) {
			f.mkdir("app/etc")
			f.mkdir("new/etc")
			f.write("app/etc/a", "1")
			f.write("new/etc/a", "2")
		}, []string{"app/etc/a"}, []step{
			{func(f *folder) { f.rename("app", "old"); f.rename("new", "app") }, "2"},
			{write("app/etc/a", "3"), "3"},
		}},
		"kept as a backup and written anew, as vim does": {write("a", "1"), []string{"a"}, []step{
			{func(f *folder) { f.rename("a", "a~"); f.write("a", "2"); f.remove("a~") }, "2"},
			{func(f *folder) { f.rename("a", "a~"); f.write("a", "3"); f.remove("a~") }, "3"},
		}},
		"removed, and there again": {write("a", "1"), []string{"a"}, []step{
			{func(f *folder) { f.remove("a") }, ""},
			{write("a", "2"), "2"},
			{write("a", "3"), "3"},
		}},
		"Kubernetes' swap": {func(f *folder) { f.mount("..2026_11_23_1", "1") }, []string{"wswarden.yaml"}, []step{
			{func(f *folder) { f.mount("..2026_11_23_2", "2") }, "2"},
			{func(f *folder) { f.mount("..2026_11_23_3", "3") }, "3"},
			{func(f *folder) { f.mount("..2026_11_23_4", "4") }, "4"},
		}},
		"links to other folders": {func(f *folder) {
			f.mkdir("releases/1/etc")
			f.mkdir("releases/2/etc")
			f.mkdir("shared")
			f.write("shared/a", "1")
			f.write("releases/2/etc/a", "2")
			f.link("../../../shared/a", "releases/1/etc/a")
			f.link(f.at("releases/1"), "current")
			f.mkdir("etc")
			f.link("../current/etc/", "etc/wswarden")
		}, []string{"etc/wswarden/a"}, []step{
			{write("shared/a", "1a"), "1a"},
			{func(f *folder) { f.link("releases/2", "new"); f.rename("new", "current") }, "2"},
			{write("releases/2/etc/a", "2a"), "2a"},
			{func(f *folder) { f.remove("etc/wswarden"); f.link("../shared", "etc/wswarden") }, "1a"},
			{write("shared/a", "1b"), "1b"},
		}},
		"a secret is rotated": {func(f *folder) { f.write("a", "1"); f.mkdir("s"); f.write("s/token", "x") }, []string{"a", "s/token"}, []step{
			{func(f *folder) { f.write("s/new", "y"); f.rename("s/new", "s/token") }, "1 y"},
			{func(f *folder) { f.write("s/new", "z"); f.rename("s/new", "s/token") }, "1 z"},
		}},
		"a folder of files": {func(f *folder) { f.mkdir("d"); f.write("d/1.yaml", "1") }, []string{"d"}, []step{
			{write("d/2.yaml", "2"), "1 2"},
			{write("d/3.yml", "3"), "1 2 3"},
			{write("d/2.yaml", "4"), "1 4 3"},
			{func(f *folder) { f.remove("d/1.yaml") }, "4 3"},
			{func(f *folder) { f.rename("d/2.yaml", "d/2.yaml.off") }, "3"},
		}},
		"a folder that is replaced": {func(f *folder) { f.mkdir("d"); f.write("d/a", "1") }, []string{"d/a"}, []step{
			{func(f *folder) { f.rename("d", "old"); f.mkdir("d"); f.write("d/a", "2") }, "2"},
			{func(f *folder) { f.remove("d") }, ""},
			{func(f *folder) { f.mkdir("d"); f.write("d/a", "3") }, "3"},
		}},
		"folders that are yet to be": {func(*folder) {}, []string{"d/e/a"}, []step{
			{func(f *folder) { f.mkdir("d/e"); f.write("d/e/a", "1") }, "1"},
			{write("d/e/a", "2"), "2"},
		}},
		// As a file alone in a container is, that is written to outside of it.
		"written by another name": {func(f *folder) { f.write("a", "1"); f.mkdir("d"); f.must(os.Link(f.at("a"), f.at("d/b"))) }, []string{"a"}, []step{
			{write("d/b", "2"), "2"},
		}},
		"links in a circle": {func(f *folder) { f.link("b", "a"); f.link("a", "b") }, []string{"a"}, []step{
			{func(f *folder) { f.remove("b"); f.write("b", "1") }, "1"},
		}},
		"many at once": {write("a", "1"), []string{"a"}, []step{
			{func(f *folder) {
				for range 200 {
					f.write("a", "2")
					f.write("a.tmp", "3")
					f.rename("a.tmp", "a")
				}
			}, "3"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFolder(t)
			row.before(f)
			f.watch(row.files...)
			for _, s := range row.steps {
				s.do(f)
				f.want(s.want)
			}
		})
	}
}

// A path that is not absolute is one below the folder that the process is in.
func TestWatchRelative(t *testing.T) {
	f := newFolder(t)
	t.Chdir(f.path)
	f.write("a", "1")
	f.path = ""
	f.watch("a")
	f.write("a", "2")
	f.want("2")
}

// What is watched are the files that there are after the call.
func TestWatchOtherFiles(t *testing.T) {
	f := newFolder(t)
	f.write("a", "1")
	f.write("b", "x")
	f.watch("a")
	f.watchAlso("b")
	f.write("a", "2")
	f.want("2 x")
	f.write("b", "y")
	f.want("2 y")
}

// Until files can be watched, they are looked at every minute; that is told of once.
func TestWatchHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began, failed := time.Now(), 0
		var calls []time.Duration
		watch(ctx, func() []string { return nil }, func() {
			if calls = append(calls, time.Since(began)); len(calls) == 4 {
				cancel()
			}
		}, func(err error) {
			if failed++; !strings.Contains(err.Error(), "max_user_instances") {
				t.Error(err)
			}
		}, func() (*fsnotify.Watcher, error) {
			if len(calls) < 3 {
				return nil, &os.SyscallError{Syscall: "inotify_init1", Err: syscall.EMFILE}
			}
			return fsnotify.NewWatcher()
		})
		if want := []time.Duration{0, unwatched, 2 * unwatched, 3 * unwatched}; !slices.Equal(calls, want) || failed != 1 {
			t.Errorf("called at %v, want %v; told %d times", calls, want, failed)
		}
	})
}

// So are they if some can be watched.
func TestWatchHealsInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		wait(ctx, &watcher{Watcher: &fsnotify.Watcher{}}, true)
		if took := time.Since(began); took != unwatched {
			t.Errorf("looked at after %v, want %v", took, unwatched)
		}
	})
}

// Files of which some cannot be watched are told of once.
func TestWatchFails(t *testing.T) {
	var failed []string
	fail := func(err error) { failed = append(failed, err.Error()) }
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	watch(ctx, func() []string { return []string{string(rune('a' + calls))} }, func() {
		if calls++; calls == 3 {
			cancel()
		}
	}, fail, func() (*fsnotify.Watcher, error) {
		w, err := fsnotify.NewWatcher()
		if err == nil {
			err = w.Close() // nothing can be added
		}
		return w, err
	})
	if calls != 3 || len(failed) != 1 || !strings.Contains(failed[0], fsnotify.ErrClosed.Error()) {
		t.Errorf("%d calls, told %q", calls, failed)
	}
	if err := limited(syscall.ENOSPC); !strings.Contains(err.Error(), "max_user_watches") {
		t.Error(err)
	}
	if other := errors.New("other"); limited(other) != other {
		t.Error("another error is not passed on")
	}
}

// A burst is over when nothing follows for a while, or has lasted long.
func TestSettle(t *testing.T) {
	for name, row := range map[string]struct {
		events []string // a quarter of quiet apart; "" is none
		want   time.Duration
	}{
		"one":                       {[]string{"a"}, quiet},
		"a burst":                   {[]string{"a", "b", "", "a"}, 3*quiet/4 + quiet},
		"in a folder":               {[]string{"x.yaml", "y.yml"}, quiet/4 + quiet},
		"of no interest":            {[]string{"c", "a", "c", "c"}, quiet/4 + quiet},
		"without an end":            {strings.Split(strings.Repeat("a", 100), ""), longest},
		"of no interest, for hours": {nil, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &watcher{Watcher: &fsnotify.Watcher{Events: make(chan fsnotify.Event, 100)}, names: map[string]bool{"a": true, "b": true}, folder: true}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				var told sync.WaitGroup
				defer told.Wait()
				told.Go(func() {
					for _, name := range row.events {
						if name != "" {
							w.Events <- fsnotify.Event{Name: "/folder/" + name}
						}
						time.Sleep(quiet / 4)
					}
				})
				began := time.Now()
				w.wait(ctx)
				if took := time.Since(began); took != row.want {
					t.Errorf("took %v, want %v", took, row.want)
				}
			})
		})
	}
}
