package controller

import (
	"slices"
	"sort"
)

// MetadataVersion is the feature that stands for the format of the metadata itself.
const MetadataVersion = "metadata.version"

// TransactionVersion is the feature of the transactions that producers of this cluster use: 1 as they always were, 2 with an epoch for each
// transaction (KIP-890).
const TransactionVersion = "transaction.version"

const kraftVersion = "kraft.version"

// elrFeature turns on eligible leader replicas (KIP-966).
const elrFeature = "eligible.leader.replicas.version"

// SupportedFeatures are the features that this binary serves and their levels, sorted by name. A feature is added here when what it
// promises works: clients switch behaviour by the finalized level.
var SupportedFeatures = []FeatureRange{
	{Name: "group.version", Min: 0, Max: 1}, // consumer groups (KIP-848)
	{Name: kraftVersion, Min: 0, Max: 1},
	{Name: MetadataVersion, Min: 7, Max: 33},   // 3.3-IV3 to 4.4-IV2
	{Name: TransactionVersion, Min: 0, Max: 2}, // KIP-890
}

// SupportedFeature returns the levels that this binary serves of a feature, and whether it knows it at all.
func SupportedFeature(name string) (FeatureRange, bool) {
	i := sort.Search(len(SupportedFeatures), func(i int) bool { return SupportedFeatures[i].Name >= name })
	if i < len(SupportedFeatures) && SupportedFeatures[i].Name == name {
		return SupportedFeatures[i], true
	}
	return FeatureRange{}, false
}

// MissingFeatures returns the records that raise every feature of this binary which is finalized lower than it could be, unless a broker
// that is registered could serve it so high before: then somebody wants it so low. A cluster of one writes them at its start; in a larger
// one somebody has to ask for it (UpdateFeatures), as in Kafka.
func MissingFeatures(m *Image) []Record {
	var records []Record
	for _, f := range SupportedFeatures {
		if m.Feature(f.Name) < f.Max && !m.hadFeature(f) {
			records = append(records, &FeatureLevelRecord{Name: f.Name, Level: f.Max})
		}
	}
	return records
}

// hadFeature says whether a registered broker serves a feature as high as this binary does.
func (m *Image) hadFeature(f FeatureRange) bool {
	return slices.ContainsFunc(m.brokers, func(b *Broker) bool {
		g, ok := b.feature(f.Name)
		return ok && g.Max >= f.Max
	})
}

// BootstrapRecords is the first batch of a new cluster: its id, and the features of this binary.
func BootstrapRecords(clusterID string) []Record {
	return append([]Record{&BootstrapRecord{ClusterID: clusterID}}, MissingFeatures(NewImage())...)
}

// TooNew returns the first finalized feature that this binary cannot serve: it was finalized by a newer one. ok is false if there is
// none.
func (m *Image) TooNew() (f FeatureRange, level int16, ok bool) {
	for name, level := range m.features {
		if f, known := SupportedFeature(name); !known || level > f.Max || level < f.Min {
			f.Name = name
			return f, level, true
		}
	}
	return f, 0, false
}
