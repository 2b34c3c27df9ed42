package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/config"
	"weir/controller"
	"weir/protocol"
)

// world is a broker's handlers over an image that the test makes, with a controller that the test plays.
type world struct {
	t    testing.TB
	s    *Server
	who  *Session
	auth rules

	mu    sync.Mutex
	img   *controller.Image
	asked []kmsg.Request
	// answer is the controller. nil: every request fails with NOT_CONTROLLER.
	answer func(ctx context.Context, req kmsg.Request) (kmsg.Response, error)
}

const testCluster = "MkU3OEVBNTcwNTJENDM2Qg"

// newWorld is a cluster of brokers 1 (this one), 2 and 3 (fenced); broker 2 has no listener EXTERNAL.
func newWorld(t testing.TB) *world {
	w := &world{t: t, img: controller.NewImage(), who: &Session{ListenerName: "PLAINTEXT", Principal: "User:ANONYMOUS"}}
	w.s = &Server{
		NodeID: 1, ClusterID: testCluster, Controller: w, Authorizer: &w.auth, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Image: func() *controller.Image {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.img
		},
	}
	w.merge(&controller.BootstrapRecord{ClusterID: testCluster})
	for id := int32(1); id <= 3; id++ {
		endpoints := []controller.Endpoint{{Name: "PLAINTEXT", Host: "h" + strconv.Itoa(int(id)), Port: 9090 + id}}
		if id != 2 {
			endpoints = append(endpoints, controller.Endpoint{Name: "EXTERNAL", Host: "x" + strconv.Itoa(int(id)), Port: 9190 + id})
		}
		rack := ""
		if id == 2 {
			rack = "r2"
		}
		w.merge(&controller.RegisterBrokerRecord{BrokerID: id, BrokerEpoch: -1, Endpoints: endpoints, Rack: rack, Fenced: id == 3,
			LogDirs: []protocol.UUID{{0: byte(id)}}})
	}
	return w
}

func (w *world) merge(records ...controller.Record) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	img, _, err := controller.Merge(w.img, records, w.img.Offset+1, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	w.img = img
}

// topic creates a topic whose partitions have the given replicas; the first of each leads, and all are in sync.
func (w *world) topic(name string, replicas ...[]int32) protocol.UUID {
	w.t.Helper()
	id := protocol.UUID{0: 7}
	copy(id[1:], name)
	records := []controller.Record{&controller.TopicRecord{Name: name, TopicID: id}}
	for i, r := range replicas {
		dirs := make([]protocol.UUID, len(r))
		for j := range dirs {
			dirs[j] = protocol.UUID{0: byte(r[j])}
		}
		records = append(records, &controller.PartitionRecord{PartitionID: int32(i), TopicID: id, Replicas: r, ISR: r, Leader: r[0], Directories: dirs})
	}
	w.merge(records...)
	return id
}

func (w *world) set(resourceType int8, name, key, value string) {
	w.merge(&controller.ConfigRecord{ResourceType: resourceType, ResourceName: name, Name: key, Value: &value})
}

// Submit implements Controller.
func (w *world) Submit(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	w.mu.Lock()
	w.asked = append(w.asked, req)
	answer := w.answer
	w.mu.Unlock()
	if answer == nil {
		return nil, protocol.NotController
	}
	return answer(ctx, req)
}

func (w *world) requests() []kmsg.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// rules is an Authorizer that denies what is listed.
type rules struct {
	denied map[rule]bool
}

type rule struct {
	op   Operation
	r    Resource
	name string
}

func (a *rules) deny(op Operation, r Resource, name string) {
	if a.denied == nil {
		a.denied = map[rule]bool{}
	}
	a.denied[rule{op, r, name}] = true
}

// Authorize implements Authorizer.
func (a *rules) Authorize(_ *Session, op Operation, r Resource, name string) bool {
	return !a.denied[rule{op, r, name}]
}

// call sends a request the way of a connection: encoded, decoded, handled, awaited, encoded, decoded. R is the response's type.
func call[R kmsg.Response](w *world, version int16, req kmsg.Request) R {
	w.t.Helper()
	resp := w.send(version, req)
	r, ok := resp.(R)
	if !ok {
		w.t.Fatalf("the response is a %T", resp)
	}
	return r
}

func (w *world) send(version int16, req kmsg.Request) kmsg.Response {
	w.t.Helper()
	req.SetVersion(version)
	h := protocol.Header{Key: req.Key(), Version: version}
	body := protocol.NewRequest(h)
	frame := req.AppendTo(nil)
	if err := protocol.Decode(body, frame, nil); err != nil {
		w.t.Fatalf("%T v%d: %v", req, version, err)
	}
	r, err := Entries()[h.Key].Handle(w.s, &Call{Header: h, Session: w.who, Body: body, Received: w.s.Now()})
	if err != nil {
		w.t.Fatalf("%T v%d: %v", req, version, err)
	}
	for i := range frame { // the frame is reused while a pending response is made
		frame[i] = 0xee
	}
	if p, ok := r.(*Pending); ok {
		if r, err = p.Wait(w.t.Context()); err != nil {
			w.t.Fatalf("%T v%d: %v", req, version, err)
		}
	}
	resp := r.(kmsg.Response)
	if resp.GetVersion() != version {
		w.t.Fatalf("%T v%d is answered with v%d", req, version, resp.GetVersion())
	}
	encoded := resp.AppendTo(nil)
	out := req.ResponseKind()
	if err := out.ReadFrom(encoded); err != nil {
		w.t.Fatalf("the response to %T v%d: %v", req, version, err)
	}
	if again := out.AppendTo(nil); !bytes.Equal(again, encoded) {
		w.t.Fatalf("the response to %T v%d is not what was read from it", req, version)
	}
	return out
}

// versions runs f for every version of a key.
func versions(t *testing.T, key int16, f func(t *testing.T, version int16)) {
	a, ok := protocol.Lookup(key)
	if !ok {
		t.Fatal("no such key")
	}
	for v := a.Min; v <= a.Max; v++ {
		t.Run("v"+strconv.Itoa(int(v)), func(t *testing.T) { f(t, v) })
	}
}

func code(t testing.TB, got int16, want protocol.Code, what string) {
	t.Helper()
	if protocol.Code(got) != want {
		t.Errorf("%s: %v, want %v", what, protocol.Code(got), want)
	}
}

func value(s *string) string {
	if s == nil {
		return "<null>"
	}
	return *s
}

// dirs is a Replicas that only describes directories.
type dirs struct {
	Replicas
	info []partition.DirInfo
}

// Dirs implements Replicas.
func (d dirs) Dirs(withLogs bool) []partition.DirInfo { return d.info }

// settings are the static settings of a broker.
func settings(t testing.TB, sets ...string) *config.Static {
	t.Helper()
	source, err := config.FromSets(sets)
	if err != nil {
		t.Fatal(err)
	}
	static, _, err := config.Resolve(source)
	if err != nil {
		t.Fatal(err)
	}
	return static
}

// levels is a Loggers.
type levels map[string]slog.Level

// Levels implements Loggers.
func (l levels) Levels() map[string]slog.Level { return l }

// SetLevel implements Loggers: what is taken back is root's.
func (l levels) SetLevel(name string, to *slog.Level) {
	if l[name] = l[RootLogger]; to != nil {
		l[name] = *to
	}
}
