package config

import (
	"strconv"
	"strings"
)

// conflict is what is wrong with settings that are right one by one.
type conflict struct {
	key     string // the setting to blame
	allowed string // for people
	kafka   string // what Kafka tells clients
}

// checkTogether holds settings against each other, as Kafka does when it starts.
func (s *Static) checkTogether() error {
	listeners, err := s.Listeners()
	if err != nil {
		return err
	}
	if err := s.checkRoles(listeners); err != nil {
		return err
	}
	l := Layers{Static: s}
	if c := l.conflicts(); c != nil {
		return s.bad(c.key, l.String(c.key), c.allowed)
	}
	return nil
}

// checkRoles: where roles are given, they fit the listeners and the voters. Without process.roles this is a cluster of one, whatever
// else the file of a ZooKeeper time says.
func (s *Static) checkRoles(listeners []Listener) error {
	if !s.IsSet("process.roles") {
		return nil
	}
	roles, clients, controllers := s.List("process.roles"), 0, 0
	for _, l := range listeners {
		if l.Controller {
			controllers++
		} else {
			clients++
		}
	}
	isBroker, isController := has(roles, "broker"), has(roles, "controller")
	const key, names = "listeners", "controller.listener.names"
	switch {
	case isBroker && clients == 0:
		return s.bad(key, s.String(key), "at least one listener that is not one of "+names)
	case !isBroker && clients > 0:
		return s.bad(key, s.String(key), "only listeners of "+names+", because process.roles is controller")
	case !isController && controllers > 0:
		return s.bad(key, s.String(key), "no listener of "+names+", because process.roles is broker")
	case !isController && !s.IsSet(names):
		return s.bad(names, "", "at least one name, because process.roles is broker")
	}
	if isController && s.IsSet(key) {
		for _, name := range s.List(names) {
			if !bound(listeners, name) {
				return s.bad(names, name, "only names in "+key)
			}
		}
	}
	return s.checkVoters(isController)
}

func bound(listeners []Listener, name string) bool {
	for _, l := range listeners {
		if strings.EqualFold(l.Name, name) {
			return true
		}
	}
	return false
}

// checkVoters: a controller is one of the voters where they are listed, and a mere broker is none.
func (s *Static) checkVoters(isController bool) error {
	voters, _ := ParseVoters(s.String("controller.quorum.voters"))
	member := false
	for _, v := range voters {
		member = member || v.ID == s.NodeID()
	}
	id := strconv.Itoa(int(s.NodeID()))
	switch {
	case len(voters) == 0:
		return nil
	case isController && !member:
		return s.bad("node.id", id, "an id in controller.quorum.voters, because process.roles has controller")
	case !isController && member:
		return s.bad("node.id", id, "an id that is not in controller.quorum.voters, because process.roles is broker")
	}
	return nil
}

// conflicts holds the effective broker settings against each other; nil is nothing.
func (l *Layers) conflicts() *conflict {
	whole := l.Int64
	switch {
	case l.Has("log.roll.ms") && whole("log.roll.ms") < 1:
		return &conflict{"log.roll.ms", "at least 1", "requirement failed: log.roll.ms must be greater than or equal to 1"}
	case l.Has("log.roll.jitter.ms") && whole("log.roll.jitter.ms") < 0:
		return &conflict{"log.roll.jitter.ms", "at least 0", "requirement failed: log.roll.jitter.ms must be greater than or equal to 0"}
	case l.retentionMs() == 0:
		return &conflict{l.retentionKey(), "-1, for no limit, or at least 1",
			"requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1"}
	case whole("log.cleaner.dedupe.buffer.size")/max(1, whole("log.cleaner.threads")) <= 1024*1024:
		return &conflict{"log.cleaner.dedupe.buffer.size", "more than 1048576 for each of log.cleaner.threads",
			"requirement failed: log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread."}
	case whole("replica.fetch.wait.max.ms") > whole("replica.socket.timeout.ms"):
		return &conflict{"replica.socket.timeout.ms", "at least replica.fetch.wait.max.ms",
			"requirement failed: replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket timeouts"}
	case whole("replica.fetch.wait.max.ms") > whole("replica.lag.time.max.ms"):
		return &conflict{"replica.fetch.wait.max.ms", "at most replica.lag.time.max.ms", "requirement failed: replica.fetch.wait.max.ms " +
			"should always be less than or equal to replica.lag.time.max.ms to prevent frequent changes in ISR"}
	case whole("queued.max.request.bytes") > 0 && whole("queued.max.request.bytes") < whole("socket.request.max.bytes"):
		return &conflict{"queued.max.request.bytes", "-1 or at least socket.request.max.bytes",
			"requirement failed: queued.max.request.bytes must be larger or equal to socket.request.max.bytes"}
	case whole("max.connections.per.ip") == 0 && l.String("max.connections.per.ip.overrides") == "":
		return &conflict{"max.connections.per.ip", "0 only beside max.connections.per.ip.overrides",
			"requirement failed: max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set."}
	case whole("connections.max.idle.ms") >= 0 && whole("connection.failed.authentication.delay.ms") >= whole("connections.max.idle.ms"):
		return &conflict{"connection.failed.authentication.delay.ms", "less than connections.max.idle.ms",
			"requirement failed: connection.failed.authentication.delay.ms=" + l.String("connection.failed.authentication.delay.ms") +
				" should always be less than connections.max.idle.ms=" + l.String("connections.max.idle.ms") +
				" to prevent failed authentication responses from timing out"}
	}
	if c := l.cordonConflict(); c != nil {
		return c
	}
	return l.groupConflicts()
}

// cordonConflict: cordoned.log.dirs are log directories, or * alone.
func (l *Layers) cordonConflict() *conflict {
	const key = "cordoned.log.dirs"
	cordoned := l.List(key)
	if len(cordoned) == 1 && cordoned[0] == "*" {
		return nil
	}
	if has(cordoned, "*") {
		return &conflict{key, "* alone or log directories", "requirement failed: When cordoned.log.dirs is set to *, it must not contain other values"}
	}
	var missing []string
	for _, dir := range cordoned {
		if !has(l.Static.LogDirs(), dir) {
			missing = append(missing, dir)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &conflict{key, "directories of log.dirs", "requirement failed: All entries in cordoned.log.dirs must be present in log.dirs or log.dir. " +
		"Missing entries : " + strings.Join(missing, ", ")}
}

// groupConflicts holds the defaults of groups against the bounds that the broker sets for them.
func (l *Layers) groupConflicts() *conflict {
	atMost := func(key, high string) *conflict {
		if l.Int64(key) <= l.Int64(high) {
			return nil
		}
		return &conflict{key, "at most " + high, "requirement failed: " + key + " must be less than or equal to " + high}
	}
	atLeast := func(key, low string) *conflict {
		if l.Int64(key) >= l.Int64(low) {
			return nil
		}
		return &conflict{key, "at least " + low, "requirement failed: " + key + " must be greater than or equal to " + low}
	}
	found := []*conflict{atMost("group.min.session.timeout.ms", "group.max.session.timeout.ms")}
	for _, b := range groupBounds {
		key := b.broker()
		if b.low != "" {
			found = append(found, atLeast(key, b.low))
		}
		if b.low != "" && b.high != "" {
			found = append(found, atMost(b.low, b.high))
		}
		if b.high != "" {
			found = append(found, atMost(key, b.high))
		}
	}
	for _, kind := range [...]string{"consumer", "share", "streams"} {
		beat, session := "group."+kind+".heartbeat.interval.ms", "group."+kind+".session.timeout.ms"
		if l.Int64(beat) >= l.Int64(session) {
			found = append(found, &conflict{beat, "less than " + session, "requirement failed: " + beat + " must be less than " + session})
		}
	}
	for _, c := range found {
		if c != nil {
			return c
		}
	}
	return nil
}
