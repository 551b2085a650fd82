//go:build linux

package examples

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// goreleaser knows every key, and what it is to pack is there.
func TestReleaseConfiguration(t *testing.T) {
	t.Parallel()
	text := read(t, "../.goreleaser.yaml")
	if err := goreleaserSchema(t).Validate(asJSON(t, text)); err != nil {
		t.Error(err)
	}
	if goreleaserSchema(t).Validate(asJSON(t, strings.Replace(text, "goarch:", "gorach:", 1))) == nil {
		t.Error("a key that is not known passes")
	}

	var file struct {
		Builds []struct {
			Goos, Goarch, Flags, Env, Ldflags []string
		}
		Archives []struct{ Files []struct{ Src string } }
	}
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	for _, f := range file.Archives[0].Files {
		if found, err := filepath.Glob(filepath.Join("..", f.Src)); err != nil || len(found) == 0 {
			t.Errorf("%s: there is none", f.Src)
		}
	}
	b := file.Builds[0]
	if !slices.Equal(b.Goos, []string{"linux"}) || !slices.Equal(b.Goarch, []string{"amd64", "arm64"}) {
		t.Errorf("built for %q on %q", b.Goos, b.Goarch)
	}
	// What is released is what the image has.
	dockerfile := read(t, "../Dockerfile")
	for _, part := range slices.Concat(b.Flags, b.Env, []string{strings.TrimSuffix(b.Ldflags[0], "v{{ .Version }}")}) {
		if !strings.Contains(dockerfile, part) {
			t.Errorf("the Dockerfile builds without %s", part)
		}
	}
}

func goreleaserSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	resource, err := jsonschema.UnmarshalJSON(strings.NewReader(read(t, "testdata/goreleaser.json")))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("goreleaser.json", resource); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("goreleaser.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// asJSON returns YAML as a schema's validator wants it.
func asJSON(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}
