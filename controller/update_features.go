package controller

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// The kinds of updates (org.apache.kafka.clients.admin.FeatureUpdate.UpgradeType).
const (
	upgrade         = 1
	safeDowngrade   = 2
	unsafeDowngrade = 3
)

// updateFeatures decides UpdateFeatures (KIP-584): all updates or none.
func (c *Controller) updateFeatures(in Input, q *kmsg.UpdateFeaturesRequest) (kmsg.Response, []Record) {
	r := q.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	last := make(map[string]int, len(q.FeatureUpdates))
	for i := range q.FeatureUpdates {
		last[q.FeatureUpdates[i].Feature] = i
	}
	var records []Record
	for i := range q.FeatureUpdates {
		u := &q.FeatureUpdates[i]
		if last[u.Feature] != i { // named twice: the last counts
			continue
		}
		if problem := featureProblem(in.Image, q.Version, u); problem != "" {
			r.ErrorCode = int16(protocol.InvalidUpdateVersion)
			message := fmt.Sprintf("The update failed for all features since the following feature had an error: "+
				"Invalid update version %d for feature %s. %s", u.MaxVersionLevel, u.Feature, problem)
			r.ErrorMessage = &message
			r.Results = nil
			return r, nil
		}
		if in.Image.Feature(u.Feature) != u.MaxVersionLevel {
			records = append(records, &FeatureLevelRecord{Name: clone(u.Feature), Level: u.MaxVersionLevel})
		}
		message := "NONE" // so Kafka has it
		r.Results = append(r.Results, kmsg.UpdateFeaturesResponseResult{Feature: clone(u.Feature), ErrorMessage: &message})
	}
	if q.ValidateOnly {
		return r, nil
	}
	return r, records
}

// featureProblem says why a feature cannot be finalized at a level, "" if it can.
func featureProblem(m *Image, version int16, u *kmsg.UpdateFeaturesRequestFeatureUpdate) string {
	kind := u.UpgradeType
	if version == 0 { // it has AllowDowngrade instead, which Kafka does not look at
		kind = upgrade
	}
	level, now := u.MaxVersionLevel, m.Feature(u.Feature)
	switch {
	case kind < upgrade || kind > unsafeDowngrade:
		return "The controller does not support the given upgrade type."
	case level < 0:
		return "A feature version cannot be less than 0."
	}
	if why := notSupported(m, u.Feature, level); why != "" {
		return why
	}
	switch {
	case level < now && kind == upgrade:
		return "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."
	case level > now && kind != upgrade:
		return "Can't downgrade to a newer version."
	case level < now && u.Feature == MetadataVersion && kind == unsafeDowngrade:
		return "Unsafe metadata downgrade is not supported in this version."
	case level < now && u.Feature == MetadataVersion:
		return "Refusing to perform the requested downgrade because it might delete metadata information."
	case level < now && u.Feature == kraftVersion:
		return "Downgrading kraft.version is not supported."
	}
	return ""
}

// notSupported says which node does not serve a feature at a level. Level 0 takes a feature back, which all serve that know it.
func notSupported(m *Image, name string, level int16) string {
	outside := func(who string, f FeatureRange, known bool) string {
		switch {
		case !known && level != 0:
			return who + " does not support this feature."
		case known && (level < f.Min || level > f.Max):
			return fmt.Sprintf("%s only supports versions %d-%d", who, f.Min, f.Max)
		}
		return ""
	}
	f, known := SupportedFeature(name)
	if !known {
		return "The local controller does not support this feature."
	}
	if why := outside("The local controller", f, known); why != "" {
		return why
	}
	for _, b := range m.brokers {
		f, known := b.feature(name)
		if why := outside(fmt.Sprintf("Broker %d", b.ID), f, known); why != "" {
			return why
		}
	}
	return ""
}

// feature returns the levels of a feature that a broker serves.
func (b *Broker) feature(name string) (FeatureRange, bool) {
	for _, f := range b.Features {
		if f.Name == name {
			return f, true
		}
	}
	return FeatureRange{}, false
}
