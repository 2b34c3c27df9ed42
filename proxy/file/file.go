package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"weir/proxy"
	"weir/security"
)

// maxBytes bounds a file.
const maxBytes = 4 << 20

// File is what a file says.
type File struct {
	Clusters []proxy.Cluster

	names    []string // of all files that it was made of
	stamps   []string // what each was when it was read
	open     []io.Closer
	checking bool
}

// Close closes what the filters write to. Requests that are under way lose their lines.
func (f *File) Close() {
	for _, c := range f.open {
		c.Close()
	}
}

// Read reads a file. Where it is wrong the error has all that is, a line each, with the file's name and line.
func Read(name string) (*File, error) { return read(name, false) }

// Check reads a file as Read does and writes nothing.
func Check(name string) error {
	_, err := read(name, true)
	return err
}

func read(name string, checking bool) (*File, error) {
	f := &File{checking: checking}
	f.made(name)
	in, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxBytes {
		return nil, fmt.Errorf("%s: more than %d bytes", name, maxBytes)
	}
	problems := f.parse(text)
	if len(problems) == 0 {
		return f, nil
	}
	f.Close()
	slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
	var errs []error
	for _, p := range problems {
		if p.Line == 0 {
			errs = append(errs, fmt.Errorf("%s: %s", name, p.Text))
		} else {
			errs = append(errs, fmt.Errorf("%s:%d: %s", name, p.Line, p.Text))
		}
	}
	return nil, errors.Join(errs...)
}

// parse reads a text.
func (f *File) parse(text []byte) []Problem {
	var r reader
	var root yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return []Problem{{0, "there is nothing in it"}}
		}
		return []Problem{syntax(err)}
	}
	if hasAlias(&root) {
		return []Problem{{0, "anchors and aliases are not taken"}}
	}
	var d document
	r.decode(root.Content[0], reflect.ValueOf(&d).Elem())
	if len(d.Clusters) == 0 && len(r.problems) == 0 {
		r.wrong(root.Content[0].Line, "there is no cluster in it")
	}
	lines := clusterLines(root.Content[0])
	names, listens := map[string]int{}, map[string]int{}
	for i := range d.Clusters {
		line := lines[i]
		c := &d.Clusters[i]
		if at, twice := names[c.Name]; twice {
			r.wrong(line, "the cluster in line %d has the name %q too", at, c.Name)
		}
		if at, twice := listens[c.Listen]; twice && !strings.HasSuffix(c.Listen, ":0") {
			r.wrong(line, "the cluster in line %d listens on %s too", at, c.Listen)
		}
		names[c.Name], listens[c.Listen] = line, line
		f.Clusters = append(f.Clusters, f.cluster(&r, c, line))
	}
	return r.problems
}

// cluster makes the proxy's form of a cluster.
func (f *File) cluster(r *reader, c *cluster, line int) proxy.Cluster {
	v := proxy.Cluster{Name: c.Name, Upstream: c.Upstream, Listen: c.Listen, BasePort: c.BasePort, Advertise: c.Advertise, PassUnknown: c.PassUnknown}
	switch c.Mode {
	case "", "ports":
	case "single":
		v.Single = true
	case "sni":
		v.SNI = true
	default:
		r.wrong(line, "mode %q: allowed are ports, single, sni", c.Mode)
	}
	v.TLS, v.UpstreamTLS = f.tls(r, c.TLS, line), f.tls(r, c.UpstreamTLS, line)
	before := len(r.problems)
	v.Filters = r.makeFilters(f, c.Filters)
	if len(r.problems) == before {
		if err := v.Check(); err != nil {
			r.wrong(line, "%v", err)
		}
	}
	return v
}

func (f *File) tls(r *reader, t *tls, line int) *security.TLS {
	if t == nil {
		return nil
	}
	for _, name := range []string{t.Cert, t.Key, t.CA} {
		if name != "" {
			f.made(name)
		}
	}
	x, err := security.LoadTLS(security.TLSFiles{Cert: t.Cert, Key: t.Key, CA: t.CA})
	if err != nil {
		r.wrong(line, "%v", err)
		return nil
	}
	return x
}

// clusterLines are the lines of the elements of the list of clusters.
func clusterLines(root *yaml.Node) (lines []int) {
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "clusters" && lines == nil {
			for _, c := range root.Content[i+1].Content {
				lines = append(lines, c.Line)
			}
		}
	}
	return lines
}

func hasAlias(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || slices.ContainsFunc(n.Content, hasAlias)
}

// syntax takes the line out of the parser's error.
func syntax(err error) Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	var line int
	if n, _ := fmt.Sscanf(text, "line %d:", &line); n == 1 {
		_, text, _ = strings.Cut(text, ": ")
	}
	return Problem{line, text}
}

// made notes a file that is about to be read.
func (f *File) made(name string) {
	f.names, f.stamps = append(f.names, name), append(f.stamps, stamp(name))
}

// Read is what the files were when they were read, Now what they are now. Where they differ, something has changed.
func (f *File) Read() string { return strings.Join(f.stamps, "\n") }

// Now is described at Read.
func (f *File) Now() string {
	var all []string
	for _, name := range f.names {
		all = append(all, stamp(name))
	}
	return strings.Join(all, "\n")
}

// stamp is what tells that a file has changed.
func stamp(name string) string {
	s, err := os.Stat(name)
	if err != nil {
		return name + " gone"
	}
	return fmt.Sprintf("%s %d %s", name, s.Size(), s.ModTime().Format(time.RFC3339Nano))
}
