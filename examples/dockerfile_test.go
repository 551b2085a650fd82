//go:build linux

package examples

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// image is what a Dockerfile makes.
type image struct {
	root        string // the folder of its last stage's files
	user        string
	entrypoint  []string
	command     []string
	health      []string
	labels      string
	exposed     string
	baseOfStage string
}

// build carries a Dockerfile out without an engine, as far as this project's need it:
// COPY and RUN are done, the Go image's part is played by this machine. What is copied
// from a stage and was not made in it is this machine's file.
func build(context, dockerfile, folder string) (image, error) {
	text, err := os.ReadFile(filepath.Join(context, dockerfile))
	if err != nil {
		return image{}, err
	}
	b := builder{context: context, folder: folder, stages: map[string]string{}}
	for _, line := range instructions(string(text)) {
		word, rest, _ := strings.Cut(line, " ")
		if err := b.carryOut(word, strings.TrimSpace(rest)); err != nil {
			return image{}, fmt.Errorf("%s: %w", line, err)
		}
	}
	return b.image, nil
}

// inspect reads a Dockerfile without carrying it out.
func inspect(context, dockerfile string) (image, error) {
	return build(context, dockerfile, "")
}

var continued = regexp.MustCompile(`\\\n\s*`)

// instructions are a Dockerfile's, each on one line.
func instructions(text string) (lines []string) {
	for line := range strings.Lines(continued.ReplaceAllString(text, "")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

type builder struct {
	image
	context, folder string
	stages          map[string]string // the folders, by name
	workdir         string
	env             []string
}

var (
	stageName = regexp.MustCompile(`(?i)^(?:--platform=\S+ )?(\S+)(?: AS (\S+))?$`)
	mounts    = regexp.MustCompile(`^(--mount=\S+\s+)+`)
	variable  = regexp.MustCompile(`\$\{?(\w+)\}?`)
)

func (b *builder) carryOut(word, rest string) (err error) {
	switch word {
	case "FROM":
		m := stageName.FindStringSubmatch(rest)
		if m == nil {
			return fmt.Errorf("what is this?")
		}
		b.image = image{baseOfStage: m[1]}
		if b.folder != "" {
			b.root = filepath.Join(b.folder, fmt.Sprint(len(b.stages)))
		}
		if m[2] == "" {
			b.root = b.folder + "/root"
		}
		b.stages[m[2]], b.workdir, b.env = b.root, "/", nil
	case "WORKDIR":
		b.workdir = path.Join(b.workdir, rest)
	case "ARG":
		name, _, _ := strings.Cut(rest, "=")
		b.env = append(b.env, name+"="+buildArgs[name])
	case "COPY":
		return b.copy(strings.Fields(rest))
	case "RUN":
		return b.run(mounts.ReplaceAllString(rest, ""))
	case "LABEL":
		b.labels = variable.ReplaceAllStringFunc(rest, func(v string) string { return buildArgs[strings.Trim(v, "${}")] })
	case "USER":
		b.user = rest
	case "EXPOSE":
		b.exposed = rest
	case "HEALTHCHECK":
		_, list, _ := strings.Cut(rest, "CMD ")
		return json.Unmarshal([]byte(list), &b.health)
	case "ENTRYPOINT":
		return json.Unmarshal([]byte(rest), &b.entrypoint)
	case "CMD":
		return json.Unmarshal([]byte(rest), &b.command)
	default:
		return fmt.Errorf("the tests do not know it")
	}
	return nil
}

func (b *builder) run(command string) error {
	if b.folder == "" {
		return nil
	}
	cmd := exec.Command("sh", "-ec", command)
	cmd.Dir = filepath.Join(b.root, b.workdir)
	cmd.Env = append(os.Environ(), b.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

func (b *builder) copy(args []string) error {
	if b.folder == "" {
		return nil
	}
	if len(args) != 2 && (len(args) != 3 || !strings.HasPrefix(args[0], "--from=")) {
		return fmt.Errorf("the tests do not know this form")
	}
	from, to := args[len(args)-2], args[len(args)-1]
	if strings.HasSuffix(to, "/") {
		to += path.Base(from)
	}
	if !path.IsAbs(to) {
		to = path.Join(b.workdir, to)
	}
	to = filepath.Join(b.root, to)
	if len(args) == 2 {
		return copyContext(b.context, from, to)
	}
	made := filepath.Join(b.stages[strings.TrimPrefix(args[0], "--from=")], from)
	if _, err := os.Stat(made); err != nil {
		made = from
	}
	return copyFile(made, to)
}

// copyContext copies what .dockerignore lets through.
func copyContext(context, from, to string) error {
	text, err := os.ReadFile(filepath.Join(context, ".dockerignore"))
	if err != nil {
		return err
	}
	patterns := instructions(string(text))
	root := filepath.Join(context, from)
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		seen, err := filepath.Rel(context, name)
		if err != nil || seen == "." {
			return err
		}
		within := func(p string) bool { // an exception may be below
			return strings.HasPrefix(p, "!"+seen+"/")
		}
		switch {
		case !ignored(patterns, seen) && entry.IsDir(), slices.ContainsFunc(patterns, within):
			return nil
		case entry.IsDir():
			return fs.SkipDir
		case ignored(patterns, seen):
			return nil
		default:
			return copyFile(name, filepath.Join(to, seen))
		}
	})
}

// ignored reports whether a file stays out, as the last pattern says that fits it or a
// folder that it is in.
func ignored(patterns []string, name string) (out bool) {
	for _, pattern := range patterns {
		pattern, exception := strings.CutPrefix(pattern, "!")
		last, anywhere := strings.CutPrefix(pattern, "**/")
		for p := name; p != "."; p = path.Dir(p) {
			fits, _ := path.Match(pattern, p)
			if anywhere {
				fits, _ = path.Match(last, path.Base(p))
			}
			if fits {
				out = !exception
			}
		}
	}
	return out
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(from); err == nil && info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	return os.WriteFile(to, text, mode)
}
