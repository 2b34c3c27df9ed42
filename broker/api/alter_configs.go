package api

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/config"
	"weir/controller"
	"weir/protocol"
)

// alteration is one resource of AlterConfigs or IncrementalAlterConfigs and what became of it.
type alteration struct {
	resourceType int8
	name         string
	keys         []string
	nulls        []string // keys whose value must not be null but is
	code         protocol.Code
	message      string
	done         bool // decided: the controller is not asked
}

func (a *alteration) refuse(code protocol.Code, message string) {
	a.code, a.message, a.done = code, message, true
}

// checkShapes refuses what no resource may be: named twice, with a key twice, with a null.
func checkShapes(all []*alteration) {
	seen := make(map[controller.Resource]int, len(all))
	for _, a := range all {
		seen[controller.Resource{Type: a.resourceType, Name: a.name}]++
	}
	for _, a := range all {
		keys := make(map[string]bool, len(a.keys))
		for _, k := range a.keys {
			keys[k] = true
		}
		switch {
		case seen[controller.Resource{Type: a.resourceType, Name: a.name}] > 1:
			a.refuse(protocol.InvalidRequest, "Each resource must appear at most once.")
		case len(keys) < len(a.keys):
			a.refuse(protocol.InvalidRequest, "Error due to duplicate config keys")
		case len(a.nulls) > 0:
			a.refuse(protocol.InvalidRequest, "Null value not supported for : "+strings.Join(a.nulls, ", "))
		}
	}
}

// checkTarget refuses resources that this broker cannot speak for. Broker settings are checked here, by the broker that they are for;
// everything else is the controller's.
func (s *Server) checkTarget(a *alteration) {
	switch a.resourceType {
	case controller.TopicConfig, controller.ClientMetricsConfig, controller.GroupConfig:
	case controller.BrokerConfig:
		if a.name == "" {
			return
		}
		if id, err := strconv.ParseInt(a.name, 10, 32); err != nil {
			a.refuse(protocol.InvalidRequest, "Node id must be an integer, but it is: "+a.name)
		} else if int32(id) != s.NodeID {
			a.refuse(protocol.InvalidRequest, fmt.Sprintf("Unexpected broker id, expected %d, but received %s", s.NodeID, a.name))
		}
	default:
		a.refuse(protocol.InvalidRequest, fmt.Sprintf("Unknown resource type %d", a.resourceType))
	}
}

// checkBroker holds what a broker's dynamic settings are to become against the table.
func (s *Server) checkBroker(img *controller.Image, a *alteration, set map[string]string) {
	now := s.layers(img)
	l := now
	if a.name == "" {
		l.Cluster = set
	} else {
		l.Broker = set
	}
	err := l.CheckBrokerSet(a.name == "")
	if err == nil {
		err = l.CheckBrokerSteps(&now)
	}
	if err != nil {
		a.refuse(protocol.InvalidRequest, err.Error())
	}
}

// increment applies the changes of an incremental alteration to a broker's dynamic settings.
func increment(a *alteration, set map[string]string, changes []kmsg.IncrementalAlterConfigsRequestResourceConfig) map[string]string {
	set = maps.Clone(set)
	if set == nil {
		set = make(map[string]string)
	}
	for i := range changes {
		if c := &changes[i]; c.Op < kmsg.IncrementalAlterConfigOpSet || c.Op > kmsg.IncrementalAlterConfigOpSubtract {
			a.refuse(protocol.InvalidRequest, fmt.Sprintf("Unknown operations type %d", c.Op))
			return nil
		}
	}
	for i := range changes {
		c := &changes[i]
		switch c.Op {
		case kmsg.IncrementalAlterConfigOpSet:
			set[c.Name] = *c.Value
		case kmsg.IncrementalAlterConfigOpDelete:
			delete(set, c.Name)
		default:
			row := config.Lookup(config.BrokerScope, c.Name)
			verb := map[kmsg.IncrementalAlterConfigOp]string{kmsg.IncrementalAlterConfigOpAppend: "append", kmsg.IncrementalAlterConfigOpSubtract: "subtract"}[c.Op]
			if row == nil {
				a.refuse(protocol.InvalidConfig, "Unknown config name: "+c.Name)
				return nil
			}
			if row.Type != config.List {
				a.refuse(protocol.InvalidConfig, fmt.Sprintf("Config value %s is not allowed for config key: %s", verb, c.Name))
				return nil
			}
			old, ok := set[c.Name]
			if !ok {
				old = row.Default
			}
			set[c.Name] = changeList(old, *c.Value, c.Op == kmsg.IncrementalAlterConfigOpAppend)
		}
	}
	return set
}

// changeList adds the items of change to a list, those it has not, or takes them out.
func changeList(list, change string, add bool) string {
	items, changed := config.SplitList(list), config.SplitList(change)
	if !add {
		items = slices.DeleteFunc(items, func(item string) bool { return slices.Contains(changed, item) })
		return strings.Join(items, ",")
	}
	for _, item := range changed {
		if !slices.Contains(items, item) {
			items = append(items, item)
		}
	}
	return strings.Join(items, ",")
}

// authorizeAlterations refuses what the client may not change. Kafka asks after the checks of form, and so do we: which error a client
// sees first depends on it.
func (s *Server) authorizeAlterations(who *Session, all []*alteration) (left int) {
	for _, a := range all {
		if a.done {
			continue
		}
		if code, message := s.mayConfigure(who, AlterConfigs, a.resourceType, a.name); code != protocol.None {
			a.refuse(code, message)
			continue
		}
		left++
	}
	return left
}

// outcome is what the controller says of one resource.
type outcome struct {
	code    int16
	message *string
}

// settle gives the alterations that the controller was asked about their outcomes, or the code that stands for all of them.
func settle(all []*alteration, code protocol.Code, outcomes map[controller.Resource]outcome) {
	for _, a := range all {
		if a.done {
			continue
		}
		o, ok := outcomes[controller.Resource{Type: a.resourceType, Name: a.name}]
		switch {
		case code != protocol.None:
			a.code = code
		case !ok:
			a.code = protocol.UnknownServerError
		default:
			a.code = protocol.Code(o.code)
			if o.message != nil {
				a.message = *o.message
			}
		}
	}
}

// layers are the places that this broker's settings come from.
func (s *Server) layers(img *controller.Image) config.Layers {
	return config.Layers{
		Static:  s.Config,
		Cluster: img.Config(controller.BrokerConfig, ""),
		Broker:  img.Config(controller.BrokerConfig, strconv.Itoa(int(s.NodeID))),
	}
}
