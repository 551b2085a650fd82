//go:build linux

package examples

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// applied are the documents that kubectl apply -k sends.
var applied = sync.OnceValues(func() (documents []map[string]any, err error) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "kubernetes")
	if err != nil {
		return nil, err
	}
	for _, r := range built.Resources() {
		document, err := r.Map()
		if err != nil {
			return nil, err
		}
		documents = append(documents, document)
	}
	return documents, nil
})

// object decodes the document of a kind.
func object(t *testing.T, kind string, into any) {
	t.Helper()
	documents, err := applied()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(documents, func(d map[string]any) bool { return d["kind"] == kind })
	if at < 0 {
		t.Fatalf("there is no %s", kind)
	}
	text, err := json.Marshal(documents[at])
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
}

type labels map[string]string

type pod struct {
	TerminationGracePeriodSeconds int
	SecurityContext               securityContext
	InitContainers, Containers    []podContainer
	Volumes                       []struct {
		Name              string
		ConfigMap, Secret struct{ Name, SecretName string }
	}
}

type securityContext struct {
	RunAsNonRoot, AllowPrivilegeEscalation, ReadOnlyRootFilesystem *bool
	RunAsUser                                                      int
	Capabilities                                                   struct{ Drop []string }
	SeccompProfile                                                 struct{ Type string }
}

type podContainer struct {
	Name, Image, RestartPolicy string
	Env                        []struct{ Name, Value string }
	Ports                      []struct {
		Name          string
		ContainerPort int
	}
	StartupProbe, ReadinessProbe, LivenessProbe probe
	Lifecycle                                   struct {
		PreStop struct {
			Exec  struct{ Command []string }
			Sleep struct{ Seconds int }
		}
	}
	Resources       struct{ Requests, Limits labels }
	SecurityContext securityContext
	VolumeMounts    []struct{ Name, MountPath, SubPath string }
}

type probe struct {
	HTTPGet struct{ Path, Port string }
}

type deployment struct {
	Spec struct {
		Selector struct{ MatchLabels labels }
		Template struct {
			Metadata struct{ Labels labels }
			Spec     pod
		}
	}
}

// readPod returns the pod, with the sidecar and the application.
func readPod(t *testing.T) (d deployment, sidecar, application podContainer) {
	t.Helper()
	object(t, "Deployment", &d)
	p := d.Spec.Template.Spec
	if len(p.InitContainers) != 1 || len(p.Containers) != 1 {
		t.Fatalf("%d sidecars and %d containers, want one each", len(p.InitContainers), len(p.Containers))
	}
	return d, p.InitContainers[0], p.Containers[0]
}

// What belongs together says the same.
func TestKubernetesHangsTogether(t *testing.T) {
	t.Parallel()
	d, sidecar, application := readPod(t)
	p := d.Spec.Template.Spec

	t.Run("selectors", func(t *testing.T) {
		var service struct{ Spec struct{ Selector labels } }
		var policy struct {
			Spec struct{ PodSelector struct{ MatchLabels labels } }
		}
		var budget struct {
			Spec struct{ Selector struct{ MatchLabels labels } }
		}
		object(t, "Service", &service)
		object(t, "NetworkPolicy", &policy)
		object(t, "PodDisruptionBudget", &budget)
		want := fmt.Sprint(d.Spec.Template.Metadata.Labels)
		for of, got := range map[string]labels{
			"deployment": d.Spec.Selector.MatchLabels, "service": service.Spec.Selector,
			"network policy": policy.Spec.PodSelector.MatchLabels, "budget": budget.Spec.Selector.MatchLabels,
		} {
			if fmt.Sprint(got) != want {
				t.Errorf("%s selects %v, and pods are %s", of, got, want)
			}
		}
	})

	t.Run("ports", func(t *testing.T) {
		var file struct {
			Listeners []struct{ Address string }
			Admin     struct{ Address string }
			Upstream  struct{ URL string }
		}
		if err := yaml.Unmarshal([]byte(configuration(t)), &file); err != nil {
			t.Fatal(err)
		}
		var service struct {
			Spec struct{ Ports []struct{ TargetPort int } }
		}
		var policy struct {
			Spec struct {
				Ingress []struct {
					From  []any
					Ports []struct{ Port int }
				}
			}
		}
		object(t, "Service", &service)
		object(t, "NetworkPolicy", &policy)
		clients, admin := fmt.Sprint(":", sidecar.Ports[0].ContainerPort), fmt.Sprint(":", sidecar.Ports[1].ContainerPort)
		open, watched := policy.Spec.Ingress[0], policy.Spec.Ingress[1]
		for what, got := range map[string]string{
			"listeners":      file.Listeners[0].Address,
			"service":        fmt.Sprint(":", service.Spec.Ports[0].TargetPort),
			"network policy": fmt.Sprint(":", open.Ports[0].Port),
		} {
			if got != clients {
				t.Errorf("%s: clients at %s, want %s", what, got, clients)
			}
		}
		if file.Admin.Address != admin || fmt.Sprint(":", watched.Ports[0].Port) != admin || sidecar.Ports[1].Name != "admin" || sidecar.Name != "wswarden" {
			t.Errorf("admin at %s, for others at %d, want %s", file.Admin.Address, watched.Ports[0].Port, admin)
		}
		if len(open.From) != 0 || len(watched.From) != 1 || len(policy.Spec.Ingress) != 2 {
			t.Errorf("the network policy lets in %+v", policy.Spec.Ingress)
		}
		if want := fmt.Sprintf("http://127.0.0.1:%d", application.Ports[0].ContainerPort); file.Upstream.URL != want {
			t.Errorf("upstream is %s, want %s", file.Upstream.URL, want)
		}
	})

	t.Run("times", func(t *testing.T) {
		second := func(n int) time.Duration { return time.Duration(n) * time.Second }
		drain, outlives, grace := drainOf(t, "kubernetes/wswarden.yaml"), second(application.Lifecycle.PreStop.Sleep.Seconds), second(p.TerminationGracePeriodSeconds)
		if outlives <= drain {
			t.Errorf("the application ends after %s, and wswarden drains for %s", outlives, drain)
		}
		if grace < outlives+10*time.Second {
			t.Errorf("after %s all is killed, and the application hears of its end after %s", grace, outlives)
		}
	})

	t.Run("rights", func(t *testing.T) {
		if !*p.SecurityContext.RunAsNonRoot || p.SecurityContext.SeccompProfile.Type != "RuntimeDefault" || sidecar.SecurityContext.RunAsUser != nobody {
			t.Errorf("the pod is %+v", p.SecurityContext)
		}
		for _, c := range []podContainer{sidecar, application} {
			if s := c.SecurityContext; *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
				t.Errorf("%s: %+v", c.Name, s)
			}
			if c.Resources.Limits["memory"] == "" || c.Resources.Limits["cpu"] != "" || c.Resources.Requests["memory"] == "" {
				t.Errorf("%s: %v", c.Name, c.Resources)
			}
		}
		if sidecar.RestartPolicy != "Always" {
			t.Error("it is no sidecar: the application would wait for its end")
		}
		for _, m := range sidecar.VolumeMounts {
			if m.SubPath != "" {
				t.Errorf("%s never changes, for its subPath", m.MountPath)
			}
		}
	})
}

// configuration is what is in the ConfigMap that the sidecar mounts.
func configuration(t *testing.T) string {
	t.Helper()
	var m struct {
		Metadata struct{ Name string }
		Data     labels
	}
	object(t, "ConfigMap", &m)
	d, _, _ := readPod(t)
	if v := d.Spec.Template.Spec.Volumes[0]; v.ConfigMap.Name != m.Metadata.Name {
		t.Fatalf("the pod mounts %q, and there is %q", v.ConfigMap.Name, m.Metadata.Name)
	}
	return m.Data["wswarden.yaml"]
}
