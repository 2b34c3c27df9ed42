package api

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// ApiVersions (18), v0-5. Answered by this broker, before authentication too.
//
// Versions: 1 throttle time · 3 flexible, the client's software (KIP-511), features (KIP-584) · 4 features from level 0 · 5 whom the
// client means to talk to (KIP-1242).
// Needs: nothing.
// Differs from Kafka: only what this broker serves is listed, and the features whose promises it keeps.

// apiVersionsMax is the newest version; a request beyond it is answered with version 0 (KIP-511).
const apiVersionsMax = 5

func apiVersions(s *Server, c *Call, q *kmsg.ApiVersionsRequest) (Response, error) {
	v := c.Header.Version
	switch {
	case v < 0 || v > apiVersionsMax:
		resp := kmsg.NewPtrApiVersionsResponse()
		resp.ErrorCode = int16(protocol.UnsupportedVersion)
		resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: int16(kmsg.ApiVersions), MaxVersion: apiVersionsMax}}
		return resp, nil
	case v >= 3 && !(softwareWord(q.ClientSoftwareName) && softwareWord(q.ClientSoftwareVersion)):
		return versionsError(q, protocol.InvalidRequest), nil
	case v >= 5 && (q.ClusterID == nil) != (q.NodeID == -1):
		return versionsError(q, protocol.InvalidRequest), nil
	case v >= 5 && q.ClusterID != nil && (*q.ClusterID != s.ClusterID || q.NodeID != s.NodeID):
		// The address now belongs to somebody else: the client has to begin again with its bootstrap servers.
		return versionsError(q, protocol.RebootstrapRequired), nil
	}
	if v >= 3 {
		c.Session.SoftwareName, c.Session.SoftwareVersion = strings.Clone(q.ClientSoftwareName), strings.Clone(q.ClientSoftwareVersion)
	}
	return s.versions.get(s.Image(), v, c.Session.OnController), nil
}

func versionsError(q *kmsg.ApiVersionsRequest, code protocol.Code) Response {
	resp := q.ResponseKind().(*kmsg.ApiVersionsResponse)
	resp.ErrorCode = int16(code)
	return resp
}

// softwareWord is Kafka's [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?, which keeps the values fit for metric names.
func softwareWord(w string) bool {
	for i := 0; i < len(w); i++ {
		switch c := w[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case (c == '-' || c == '.') && i > 0 && i < len(w)-1:
		default:
			return false
		}
	}
	return w != ""
}

// encodedVersions is an ApiVersions response whose body is made already: the same for every client until the metadata changes.
type encodedVersions struct {
	*kmsg.ApiVersionsResponse
	epoch int64
	body  []byte
}

// AppendTo appends the body.
func (e *encodedVersions) AppendTo(dst []byte) []byte { return append(dst, e.body...) }

// versionsCache keeps one response for each kind of listener and version. The zero value is empty. Every connection begins with this
// request, so it must cost nothing.
type versionsCache struct {
	kept [2][apiVersionsMax + 1]atomic.Pointer[encodedVersions]
}

func (k *versionsCache) get(img *controller.Image, version int16, onController bool) *encodedVersions {
	_, epoch := img.Features()
	at := &k.kept[0][version]
	if onController {
		at = &k.kept[1][version]
	}
	if e := at.Load(); e != nil && e.epoch == epoch {
		return e
	}
	resp := versionsResponse(img, version, onController)
	e := &encodedVersions{ApiVersionsResponse: resp, epoch: epoch, body: resp.AppendTo(nil)}
	at.Store(e)
	return e
}

func versionsResponse(img *controller.Image, version int16, onController bool) *kmsg.ApiVersionsResponse {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.Version = version
	for _, e := range tableEntries.entries() {
		if e == nil || !e.Served(onController) {
			continue
		}
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = e.API.Key, e.API.Min, e.API.Max
		resp.ApiKeys = append(resp.ApiKeys, k)
	}
	for _, f := range controller.SupportedFeatures {
		if f.Min == 0 && version < 4 {
			continue // older Java clients fail to read a minimum of 0
		}
		k := kmsg.NewApiVersionsResponseSupportedFeature()
		k.Name, k.MinVersion, k.MaxVersion = f.Name, f.Min, f.Max
		resp.SupportedFeatures = append(resp.SupportedFeatures, k)
	}
	var levels map[string]int16
	levels, resp.FinalizedFeaturesEpoch = img.Features()
	for name, level := range levels {
		if level == 0 {
			continue // level 0 is that of a feature which is not finalized
		}
		k := kmsg.NewApiVersionsResponseFinalizedFeature()
		k.Name, k.MinVersionLevel, k.MaxVersionLevel = name, level, level
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, k)
	}
	slices.SortFunc(resp.FinalizedFeatures, func(a, b kmsg.ApiVersionsResponseFinalizedFeature) int {
		return strings.Compare(a.Name, b.Name)
	})
	return resp
}
