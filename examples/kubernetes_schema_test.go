//go:build linux

package examples

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Kubernetes' own schemas know every kind and every key.
func TestKubernetesSchemas(t *testing.T) {
	t.Parallel()
	documents, err := applied()
	if err != nil {
		t.Fatal(err)
	}
	schemaOf := kubernetesSchemas(t)
	for _, d := range documents {
		kind := fmt.Sprint(d["apiVersion"], " ", d["kind"])
		schema := schemaOf(kind)
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(document); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		document.(map[string]any)["metadata"].(map[string]any)["nmae"] = "typo"
		if schema.Validate(document) == nil {
			t.Errorf("%s: a key that is not known passes", kind)
		}
	}
	if len(documents) != 5 {
		t.Errorf("%d documents, want 5", len(documents))
	}
}

// kubernetesSchemas returns what finds a kind's schema.
func kubernetesSchemas(t *testing.T) func(kind string) *jsonschema.Schema {
	t.Helper()
	text := read(t, "testdata/kubernetes.json")
	var file struct {
		Components struct {
			Schemas map[string]struct {
				Kinds []struct{ Group, Version, Kind string } `json:"x-kubernetes-group-version-kind"`
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	resource, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("kubernetes.json", resource); err != nil {
		t.Fatal(err)
	}
	return func(kind string) *jsonschema.Schema {
		t.Helper()
		for name, s := range file.Components.Schemas {
			for _, k := range s.Kinds {
				if strings.TrimPrefix(k.Group+"/"+k.Version, "/")+" "+k.Kind == kind {
					schema, err := compiler.Compile("kubernetes.json#/components/schemas/" + name)
					if err != nil {
						t.Fatal(err)
					}
					return schema
				}
			}
		}
		t.Fatalf("no schema for %s", kind)
		return nil
	}
}
