package proxy

import "runtime/debug"

// version is what a build is told by -ldflags "-X wswarden/proxy.version=v1.2.3".
var version string

// Version is the release that the build was told, or else the module's version as the Go
// command has noted it, with the commit where that is known.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v == "(devel)" {
			v += " " + s.Value
		}
	}
	return v
}
