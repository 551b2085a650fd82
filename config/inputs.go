package config

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// inputs keeps in mind what a configuration is made of: see Loaded.
type inputs struct {
	files []string
	hash  hash.Hash
}

func newInputs() inputs { return inputs{hash: sha256.New()} }

func (in *inputs) digest() (sum [sha256.Size]byte) {
	in.hash.Sum(sum[:0])
	return sum
}

// add adds texts to the digest, each with its length, so that no other texts give the
// same.
func (in *inputs) add(texts ...string) {
	for _, text := range texts {
		in.hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		in.hash.Write([]byte(text))
	}
}

// note has a file among those that were read.
func (in *inputs) note(name string) {
	if !slices.Contains(in.files, name) {
		in.files = append(in.files, name)
	}
}

// read reads a file in one of the ways below.
func (in *inputs) read(name string, how func(string) ([]byte, error)) ([]byte, error) {
	in.note(name)
	text, err := how(name)
	in.add("file", name, string(text), fmt.Sprint(err))
	return text, err
}

// list returns the names of a folder's files that may be a configuration's, in order.
func (in *inputs) list(folder string) ([]string, error) {
	in.files = append(in.files, folder)
	entries, err := os.ReadDir(folder)
	var names []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !strings.HasPrefix(e.Name(), ".") && (ext == ".yaml" || ext == ".yml") {
			names = append(names, filepath.Join(folder, e.Name()))
		}
	}
	in.add("folder", folder, fmt.Sprint(names), fmt.Sprint(err))
	return names, err
}

// maxFile is how much one of a configuration's files may hold.
const maxFile = 4 << 20

var (
	errFolder  = errors.New("not a file")
	errPipe    = errors.New("not a file but a pipe")
	errNotFile = errors.New("not a file")
)

// readConfiguration reads one of a configuration's files, but no more than a byte beyond
// maxFile.
func readConfiguration(name string) ([]byte, error) { return readSmall(name, maxFile) }

// readSmall reads a file, but no more than a byte beyond most. What is no file is refused
// and never waited for: a pipe may never end, and gives what it has to the first reader
// only.
func readSmall(name string, most int64) ([]byte, error) {
	if err := mustBeFile(os.Stat(name)); err != nil {
		return nil, err
	}
	// Nor is one waited for that takes the file's place at this moment.
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, withoutName(err)
	}
	defer func() { _ = file.Close() }()
	if err := mustBeFile(file.Stat()); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	return text, withoutName(err)
}

func mustBeFile(info fs.FileInfo, err error) error {
	switch {
	case err != nil:
		return withoutName(err)
	case info.IsDir():
		return errFolder
	case info.Mode()&fs.ModeNamedPipe != 0:
		return errPipe
	case !info.Mode().IsRegular():
		return errNotFile
	}
	return nil
}

// withoutName is an error of a file whose name is told already.
func withoutName(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}
