package config

import "strconv"

// checkTogether holds settings against each other, as Kafka does when it starts.
func (s *Static) checkTogether() error {
	listeners, err := s.Listeners()
	if err != nil {
		return err
	}
	if err := s.checkControllers(listeners); err != nil {
		return err
	}
	l := Layers{Static: s}
	return l.checkBroker(func(key, allowed string) error { return s.bad(key, s.String(key), allowed) })
}

// checkControllers: where roles are given, they and the listeners fit.
func (s *Static) checkControllers(listeners []Listener) error {
	found := map[string]bool{}
	for _, l := range listeners {
		found[l.Name] = true
	}
	roles := s.List("process.roles")
	if !contains(roles, "controller") {
		return nil
	}
	for _, name := range s.List("controller.listener.names") {
		if s.IsSet("listeners") && s.IsSet("process.roles") && !found[name] && !containsKey(found, name) {
			return s.bad("controller.listener.names", name, "names of listeners")
		}
	}
	if voters, _ := ParseVoters(s.String("controller.quorum.voters")); len(voters) > 0 {
		for _, v := range voters {
			if v.ID == s.NodeID() {
				return nil
			}
		}
		return s.bad("node.id", strconv.Itoa(int(s.NodeID())), "the id of one of controller.quorum.voters, because this node is a controller")
	}
	return nil
}

func containsKey(m map[string]bool, name string) bool {
	for k := range m {
		if contains([]string{k}, name) {
			return true
		}
	}
	return false
}

// checkBroker holds the effective broker settings against each other; fail makes the error for one key.
func (l *Layers) checkBroker(fail func(key, allowed string) error) error {
	switch {
	case l.Has("log.roll.ms") && l.Int64("log.roll.ms") < 1:
		return fail("log.roll.ms", "at least 1")
	case l.Has("log.roll.jitter.ms") && l.Int64("log.roll.jitter.ms") < 0:
		return fail("log.roll.jitter.ms", "at least 0")
	case l.retentionMs() < -1 || l.retentionMs() == 0:
		return fail(l.retentionKey(), "-1, for no limit, or at least 1")
	case l.Int64("log.cleaner.dedupe.buffer.size")/max(1, l.Int64("log.cleaner.threads")) <= 1024*1024:
		return fail("log.cleaner.dedupe.buffer.size", "more than 1048576 for each of log.cleaner.threads")
	case l.Int64("replica.fetch.wait.max.ms") > l.Int64("replica.socket.timeout.ms"):
		return fail("replica.socket.timeout.ms", "at least replica.fetch.wait.max.ms")
	case l.Int64("replica.fetch.wait.max.ms") > l.Int64("replica.lag.time.max.ms"):
		return fail("replica.fetch.wait.max.ms", "at most replica.lag.time.max.ms")
	case l.Int64("log.cleaner.min.compaction.lag.ms") > l.Int64("log.cleaner.max.compaction.lag.ms"):
		return fail("log.cleaner.min.compaction.lag.ms", "at most log.cleaner.max.compaction.lag.ms")
	case l.Int64("offset.metadata.max.bytes") < 0:
		return fail("offset.metadata.max.bytes", "at least 0")
	case l.Int64("max.connections.per.ip") == 0 && l.String("max.connections.per.ip.overrides") == "":
		return fail("max.connections.per.ip", "0 only beside max.connections.per.ip.overrides")
	case l.Int64("queued.max.request.bytes") == 0 || l.Int64("queued.max.request.bytes") < -1 ||
		l.Int64("queued.max.request.bytes") > 0 && l.Int64("queued.max.request.bytes") < l.Int64("socket.request.max.bytes"):
		return fail("queued.max.request.bytes", "-1 or at least socket.request.max.bytes")
	}
	return l.checkGroups(fail)
}

// checkGroups holds the defaults of groups against the bounds that the broker sets for them.
func (l *Layers) checkGroups(fail func(key, allowed string) error) error {
	if l.Int64("group.min.session.timeout.ms") > l.Int64("group.max.session.timeout.ms") {
		return fail("group.min.session.timeout.ms", "at most group.max.session.timeout.ms")
	}
	for _, kind := range [...]string{"consumer", "share", "streams"} {
		for _, what := range [...]string{"heartbeat.interval.ms", "session.timeout.ms"} {
			key, low, high := "group."+kind+"."+what, "group."+kind+".min."+what, "group."+kind+".max."+what
			switch {
			case l.Int64(low) > l.Int64(high):
				return fail(low, "at most "+high)
			case l.Int64(key) < l.Int64(low) || l.Int64(key) > l.Int64(high):
				return fail(key, "from "+low+" to "+high)
			}
		}
		if beat, session := "group."+kind+".heartbeat.interval.ms", "group."+kind+".session.timeout.ms"; l.Int64(beat) >= l.Int64(session) {
			return fail(beat, "less than "+session)
		}
	}
	return nil
}
