package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// Source is where a configuration is read from, each time anew.
type Source struct {
	// Path is that of a file, or of a folder whose *.yaml and *.yml are read in the
	// order of their names, but for those in folders below it and hidden ones, whose
	// names begin with a dot. Empty: the flags.
	Path string
	// Upstream and Listen are what the flags say, without a Path. An empty Listen: not
	// given.
	Upstream, Listen string
}

// Loaded is what came of reading a Source.
type Loaded struct {
	// Config is nil if there was an error.
	*Config
	// Places tells where its values come from.
	Places Places
	// Files are all that were read or looked for: the folder, the configuration's
	// files, those that ${file:…} names, the admin token's, and those of TLS. A change in
	// one of them may be a change of the configuration, or mend an error.
	Files []string
	// Digest differs when what was read differs: what is in Files, and variables of the
	// environment. Of the files of TLS it is only whether they are of use. Secrets are in
	// it: it is not for anybody to see.
	Digest [32]byte

	admin     Admin    // beside problems: what could be read of it
	variables []string // of the environment that name keys, set or not
}

// Load reads the source and the environment. Also beside an error there is a Loaded,
// with Files and Digest, and without a Config. The error is Problems.
func (s Source) Load() (*Loaded, error) { return s.load(nil) }

// Reload is Load for a process that runs with current. The error also names each key
// that has another value and cannot change while it runs.
func (s Source) Reload(current *Config) (*Loaded, error) { return s.load(current) }

// Admin reads the source for who only wants to ask the admin API: what is wrong
// elsewhere, such as a variable that is set for wswarden alone, is of no matter.
func (s Source) Admin() (Admin, error) {
	l, err := s.Load()
	var problems Problems
	switch {
	case err == nil:
		return l.Config.Admin, nil
	case !errors.As(err, &problems) || l.admin.Address == "":
		return Admin{}, err
	}
	about := slices.DeleteFunc(slices.Clone(problems), func(p Problem) bool { return !within(p.Key, "admin") })
	if len(about) > 0 {
		return Admin{}, about
	}
	return l.admin, nil
}

// Load reads the file or folder, and the environment: see Source.Load.
func Load(path string) (*Config, error) {
	l, err := Source{Path: path}.Load()
	return l.Config, err
}

// Parse is Load for the text of a file that has been read already. Errors call it
// name, and what ${file:…} names is looked for beside that.
func Parse(name string, text []byte) (*Config, error) {
	l, err := newReader().load([]file{{name: name, text: text}}, nil, nil)
	return l.Config, err
}

// FromFlags builds a configuration without a file, from the environment and
// what the flags --upstream and --listen say. An empty listen: not given.
func FromFlags(upstream, listen string) (*Config, error) {
	l, err := Source{Upstream: upstream, Listen: listen}.Load()
	return l.Config, err
}

func (s Source) load(current *Config) (*Loaded, error) {
	r := newReader()
	if s.Path == "" {
		return r.load(nil, s.flags, current)
	}
	files, problem := s.files(r)
	if problem != "" {
		return r.loaded(nil), Problems{{Place: s.Path, Text: problem}}
	}
	return r.load(files, nil, current)
}

func (s Source) flags(c *Config, from Places) {
	c.Upstream.URL, c.Upstream.URLs = s.Upstream, nil
	delete(from, "upstream.urls")
	from["upstream.url"] = place{name: "--upstream"}
	if s.Listen != "" {
		l := defaultListener()
		l.Address = s.Listen
		c.Listeners = []Listener{l}
		from["listeners[0].address"] = place{name: "--listen"}
	}
}

// file is one of those that a configuration is written in.
type file struct {
	name string
	text []byte
	err  error // which keeps it from being read
}

// problem says why it is of no use; empty if there is nothing to say.
func (f file) problem() string {
	switch {
	case errors.Is(f.err, errPipe):
		return "is not a file but a pipe, which can be read only once; let it be a file"
	case errors.Is(f.err, errNotFile):
		return "is not a file; let it be one"
	case f.err != nil:
		return fmt.Sprintf("cannot be read: %v; let it be a file that wswarden may read", f.err)
	case len(f.text) > maxFile:
		return fmt.Sprintf("is longer than %s; split it into several in a folder", size(maxFile))
	}
	return ""
}

// files reads the one that Path names, or all of the folder. The problem is empty if
// there are any.
func (s Source) files(r *reader) (files []file, problem string) {
	if info, err := os.Stat(s.Path); err == nil && info.IsDir() {
		return s.folder(r)
	}
	text, err := r.inputs.read(s.Path, readConfiguration)
	return []file{{s.Path, text, err}}, ""
}

// folder reads what is a configuration's. Links are followed; those of a ConfigMap lead
// through a folder that is hidden.
func (s Source) folder(r *reader) (files []file, problem string) {
	r.folder = s.Path
	entries, err := r.inputs.list(s.Path)
	if err != nil {
		return nil, fmt.Sprintf("cannot be read: %v; let it be a folder that wswarden may read, or name another", withoutName(err))
	}
	for _, name := range entries {
		text, err := r.inputs.read(name, readConfiguration)
		if errors.Is(err, errFolder) {
			continue
		}
		files = append(files, file{name, text, err})
	}
	if len(files) == 0 {
		return nil, "has no *.yaml or *.yml; put one into it, or name a file"
	}
	return files, ""
}
