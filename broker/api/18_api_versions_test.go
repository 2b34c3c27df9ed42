package api

import (
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

func versionsOf(name, version string) *kmsg.ApiVersionsRequest {
	q := kmsg.NewPtrApiVersionsRequest()
	q.ClientSoftwareName, q.ClientSoftwareVersion = name, version
	return q
}

func TestApiVersions(t *testing.T) {
	versions(t, 18, func(t *testing.T, v int16) {
		w := newWorld(t)
		w.merge(&controller.FeatureLevelRecord{Name: controller.MetadataVersion, Level: 30}, &controller.FeatureLevelRecord{Name: "group.version", Level: 0})
		for _, onController := range []bool{false, true} {
			w.who.OnController = onController
			r := call[*kmsg.ApiVersionsResponse](w, v, versionsOf("weir-test", "1.0"))
			code(t, r.ErrorCode, protocol.None, "the whole")
			at := 0
			for _, e := range Entries() {
				if e == nil || !e.Served(onController) {
					continue
				}
				k := r.ApiKeys[at]
				if k.ApiKey != e.Key || k.MinVersion != e.API.Min || k.MaxVersion != e.API.Max {
					t.Errorf("%+v, want key %d, %d to %d", k, e.Key, e.API.Min, e.API.Max)
				}
				at++
			}
			if at != len(r.ApiKeys) || at == 0 {
				t.Errorf("%d keys, want %d", len(r.ApiKeys), at)
			}
			if produce := Entries()[0]; produce != nil && !onController && (r.ApiKeys[0].ApiKey != 0 || r.ApiKeys[0].MinVersion != 0) {
				t.Errorf("Produce is advertised as %+v", r.ApiKeys[0])
			}
			if v < 3 {
				continue
			}
			features := map[string]string{}
			for _, f := range r.SupportedFeatures {
				features[f.Name] = fmt.Sprint(f.MinVersion, "-", f.MaxVersion)
			}
			if _, ok := features["kraft.version"]; ok != (v >= 4) || features[controller.MetadataVersion] != "7-33" {
				t.Errorf("supported features %v", features)
			}
			if len(r.FinalizedFeatures) != 1 || r.FinalizedFeatures[0].MaxVersionLevel != 30 || r.FinalizedFeatures[0].MinVersionLevel != 30 {
				t.Errorf("finalized features %+v", r.FinalizedFeatures)
			}
			if _, epoch := w.s.Image().Features(); r.FinalizedFeaturesEpoch != epoch {
				t.Errorf("epoch %d, want %d", r.FinalizedFeaturesEpoch, epoch)
			}
			if w.who.SoftwareName != "weir-test" || w.who.SoftwareVersion != "1.0" {
				t.Errorf("software %q %q", w.who.SoftwareName, w.who.SoftwareVersion)
			}
		}
	})
}

// TestApiVersionsFollowsFeatures: the kept response is made again when the metadata changes, and only then.
func TestApiVersionsFollowsFeatures(t *testing.T) {
	w := newWorld(t)
	level := func() int16 {
		return call[*kmsg.ApiVersionsResponse](w, 4, versionsOf("a", "1")).FinalizedFeatures[0].MaxVersionLevel
	}
	w.merge(&controller.FeatureLevelRecord{Name: controller.MetadataVersion, Level: 30})
	first := level()
	kept := w.s.versions.get(w.s.Image(), 4, false)
	if w.s.versions.get(w.s.Image(), 4, false) != kept {
		t.Error("made again for the same image")
	}
	w.merge(&controller.FeatureLevelRecord{Name: controller.MetadataVersion, Level: 31})
	if second := level(); first != 30 || second != 31 {
		t.Errorf("levels %d, %d", first, second)
	}
	if allocs := testing.AllocsPerRun(100, func() {
		_, _ = apiVersions(w.s, &Call{Header: protocol.Header{Version: 2}, Session: w.who}, kmsg.NewPtrApiVersionsRequest())
	}); allocs > 1 {
		t.Errorf("%v allocations", allocs)
	}
}

// TestApiVersionsUnsupported is KIP-511; the bytes are Kafka 4.4's.
func TestApiVersionsUnsupported(t *testing.T) {
	w := newWorld(t)
	r, err := apiVersions(w.s, &Call{Header: protocol.Header{Key: 18, Version: 6}, Session: w.who}, kmsg.NewPtrApiVersionsRequest())
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(r.(kmsg.Response).AppendTo(nil)); got != "0023"+"00000001"+"0012"+"0000"+"0005" {
		t.Error(got)
	}
}

func TestApiVersionsSoftware(t *testing.T) {
	w := newWorld(t)
	for name, ok := range map[string]bool{
		"a": true, "9": true, "apache-kafka-java": true, "a.-b": true, "": false, "a b": false, "-a": false, "a.": false, "a_b": false, "é": false,
	} {
		for v := int16(0); v <= 5; v++ {
			w.who.SoftwareName = ""
			for _, q := range []*kmsg.ApiVersionsRequest{versionsOf(name, "1.0"), versionsOf("a", name)} {
				r := call[*kmsg.ApiVersionsResponse](w, v, q)
				want := protocol.None
				if !ok && v >= 3 {
					want = protocol.InvalidRequest
				}
				code(t, r.ErrorCode, want, fmt.Sprintf("v%d %q", v, name))
				if want != protocol.None && (len(r.ApiKeys) > 0 || r.FinalizedFeaturesEpoch != -1) {
					t.Errorf("%+v", r)
				}
			}
		}
	}
}

// TestApiVersionsRebootstrap is KIP-1242: every outcome is Kafka 4.4's.
func TestApiVersionsRebootstrap(t *testing.T) {
	w := newWorld(t)
	other, same, empty := "x", testCluster, ""
	for _, c := range []struct {
		cluster *string
		node    int32
		want    protocol.Code
	}{
		{nil, -1, protocol.None},
		{&same, 1, protocol.None},
		{&same, -1, protocol.InvalidRequest},
		{&other, -1, protocol.InvalidRequest},
		{&empty, -1, protocol.InvalidRequest},
		{nil, 1, protocol.InvalidRequest},
		{nil, 2, protocol.InvalidRequest},
		{&same, 2, protocol.RebootstrapRequired},
		{&same, -2, protocol.RebootstrapRequired},
		{&other, 1, protocol.RebootstrapRequired},
		{&other, 2, protocol.RebootstrapRequired},
	} {
		q := versionsOf("a", "1")
		q.ClusterID, q.NodeID = c.cluster, c.node
		code(t, call[*kmsg.ApiVersionsResponse](w, 5, q).ErrorCode, c.want, value(c.cluster)+fmt.Sprint(" ", c.node))
		code(t, call[*kmsg.ApiVersionsResponse](w, 4, q).ErrorCode, protocol.None, "version 4")
	}
}

func BenchmarkApiVersions(b *testing.B) {
	w := newWorld(b)
	c := &Call{Header: protocol.Header{Version: 3}, Session: w.who}
	q := versionsOf("a", "1")
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		r, _ := apiVersions(w.s, c, q)
		dst = r.(kmsg.Response).AppendTo(dst[:0])
	}
}
