package config

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// What belongs together comes in several events: an editor's save, the files of a
// ConfigMap one by one.
const (
	quiet   = 100 * time.Millisecond // without an event, and it is over
	longest = time.Second            // from the first event on
)

// unwatched is how often files are looked at that cannot be watched.
const unwatched = time.Minute

// Watch calls changed whenever one of the files, which may be folders, or a link on
// the way to one, may be another than before, until ctx is done. It calls it at first,
// too: nothing is missed that changes from then on. A file that is not there is waited
// for.
//
// It asks for files again after each call, and calls changed once more if these are
// others. failed is told what cannot be watched, once as long as that stays the same:
// until it can, changed is called every minute.
func Watch(ctx context.Context, files func() []string, changed func(), failed func(error)) {
	watch(ctx, files, changed, failed, fsnotify.NewWatcher)
}

func watch(ctx context.Context, files func() []string, changed func(), failed func(error), notify notifiers) {
	told := ""
	for ctx.Err() == nil {
		watched := files()
		w, err := newWatcher(watched, notify)
		if err == nil {
			told = ""
		} else if err.Error() != told {
			told = err.Error()
			failed(err)
		}
		changed()
		if slices.Equal(files(), watched) {
			wait(ctx, w, err != nil)
		}
		if w != nil {
			_ = w.Close()
		}
	}
}

// wait returns when something has changed, or may have. The watcher may be nil.
func wait(ctx context.Context, w *watcher, incomplete bool) {
	if incomplete {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, unwatched)
		defer cancel()
	}
	if w == nil {
		<-ctx.Done()
		return
	}
	w.wait(ctx)
}

// watcher watches what files are now. It is of no use after the first change, as
// links may lead elsewhere then.
type watcher struct {
	*fsnotify.Watcher
	// names are those, without their folders, of what is of interest. That something
	// else has one of them in another folder does no harm.
	names    map[string]bool
	folder   bool // of interest is what may be a configuration's, as well
	problems []error
}

// notifiers makes one; it fails where inotify's limits are reached.
type notifiers func() (*fsnotify.Watcher, error)

// newWatcher also returns one if the error is about some of the files only.
func newWatcher(files []string, notify notifiers) (*watcher, error) {
	notifier, err := notify()
	if err != nil {
		return nil, limited(err)
	}
	w := &watcher{Watcher: notifier, names: map[string]bool{}}
	here, err := os.Getwd()
	for _, file := range files {
		switch {
		case filepath.IsAbs(file):
			w.follow(file)
		case err == nil:
			w.follow(here + separator + file)
		default:
			w.problems = append(w.problems, err)
		}
	}
	return w, errors.Join(w.problems...)
}

const separator = string(filepath.Separator)

// maxLinks is how many links lead to a file, at most: as many as Linux follows.
const maxLinks = 40

// follow watches the folders of a file and of all links on the way to it, and the
// file itself: where that is mounted alone, as containers do, its folder does not
// tell of what is written to it elsewhere.
//
// A folder is watched before what is in it is looked at, so that no change falls
// between the two. No path is cleaned: a ".." behind a link is where that leads.
func (w *watcher) follow(path string) {
	at, rest := root(path)
	for links := 0; rest != ""; {
		name, more, _ := strings.Cut(rest, separator)
		next := filepath.Join(at, name)
		info, err := os.Lstat(next)
		if err != nil || isLink(info) || more == "" {
			w.add(at)
		} else { // another may come in its place, of which nothing below tells; it need not be readable
			_ = w.Add(at)
		}
		w.names[name] = true
		info, err = os.Lstat(next)
		if err != nil {
			return // its folder tells when it is there
		}
		if !isLink(info) {
			at, rest = next, more
			continue
		}
		target, err := os.Readlink(next)
		if links++; err != nil || links > maxLinks {
			return
		}
		if filepath.IsAbs(target) {
			at, target = root(target)
		}
		rest = target
		if more != "" {
			rest += separator + more
		}
	}
	if info, err := os.Stat(at); err == nil && info.IsDir() {
		w.folder = true
	}
	w.add(at)
}

func isLink(info fs.FileInfo) bool { return info.Mode()&fs.ModeSymlink != 0 }

// root splits an absolute path into its root and the rest.
func root(path string) (root, rest string) {
	root = filepath.VolumeName(path) + separator
	return root, path[min(len(root), len(path)):]
}

// add watches a file or a folder that is there.
func (w *watcher) add(path string) {
	w.names[filepath.Base(path)] = true
	if err := w.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.problems = append(w.problems, &fs.PathError{Op: "watch", Path: path, Err: limited(err)})
	}
}

// limited says which limit it is that an error of inotify's is about: its own words
// are of devices and files.
func limited(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return errors.New("as many files are watched as fs.inotify.max_user_watches allows")
	case errors.Is(err, syscall.EMFILE):
		return errors.New("fs.inotify.max_user_instances, or the limit of descriptors, is reached")
	default:
		return err
	}
}

// wait returns when something of interest has changed and all is quiet again, or when
// ctx is done.
func (w *watcher) wait(ctx context.Context) {
	var over, atLast <-chan time.Time // nil: nothing has changed yet
	for {
		select {
		case e := <-w.Events:
			name := filepath.Base(e.Name)
			if !w.names[name] && !(w.folder && mayBeConfiguration(name)) {
				continue
			}
		case <-w.Errors: // events are lost
		case <-over:
			return
		case <-atLast:
			return
		case <-ctx.Done():
			return
		}
		over = time.After(quiet)
		if atLast == nil {
			atLast = time.After(longest)
		}
	}
}

// mayBeConfiguration says so by the name of a file in a folder.
func mayBeConfiguration(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}
