package config

import "strings"

// Append is IncrementalAlterConfigs' APPEND: the items of value that current does not have yet go behind it. isSet false means that
// the setting is not set and its default counts. A *InvalidConfig says that the setting is unknown or no list.
func Append(scope Scope, name, current string, isSet bool, value string) (string, error) {
	items, err := listParts(scope, name, current, isSet, "APPEND")
	if err != nil {
		return "", err
	}
	for _, item := range strings.Split(value, ",") {
		if !has(items, item) {
			items = append(items, item)
		}
	}
	return strings.Join(items, ","), nil
}

// Subtract is IncrementalAlterConfigs' SUBTRACT: the items of value leave current; those that it does not have do not matter.
func Subtract(scope Scope, name, current string, isSet bool, value string) (string, error) {
	items, err := listParts(scope, name, current, isSet, "SUBTRACT")
	if err != nil {
		return "", err
	}
	for _, item := range strings.Split(value, ",") {
		for i := range items {
			if items[i] == item {
				items = append(items[:i], items[i+1:]...)
				break
			}
		}
	}
	return strings.Join(items, ","), nil
}

func listParts(scope Scope, name, current string, isSet bool, operation string) ([]string, error) {
	s := Lookup(scope, name)
	switch {
	case scope == BrokerScope && s == nil: // a broker looks before the controller does, and has words of its own
		return nil, &InvalidConfig{"Unknown config name: " + name}
	case scope == BrokerScope && s.Type != List:
		return nil, &InvalidConfig{"Config value " + strings.ToLower(operation) + " is not allowed for config key: " + name}
	case s == nil || s.Type != List:
		return nil, &InvalidConfig{"Can't " + operation + " to key " + name + " because its type is not LIST."}
	}
	if !isSet {
		current = s.Default
	}
	var items []string
	for _, item := range strings.Split(current, ",") {
		if item != "" {
			items = append(items, item)
		}
	}
	return items, nil
}

func has(items []string, item string) bool {
	for _, i := range items {
		if i == item {
			return true
		}
	}
	return false
}
