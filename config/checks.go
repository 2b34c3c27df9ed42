package config

import (
	"strconv"
	"strings"
)

func checkGzipLevel(name, value string) string {
	if n, ok := parseWhole(value, Int); ok && (n == -1 || n >= 1 && n <= 9) {
		return ""
	}
	return "Invalid value " + value + " for configuration " + name + ": Value must be between 1 and 9 or equal to -1"
}

func checkThrottled(name, value string) string {
	items := SplitList(value)
	if len(items) == 0 || len(items) == 1 && items[0] == "*" {
		return ""
	}
	for _, item := range items {
		partition, broker, ok := strings.Cut(item, ":")
		if !ok || !digits(partition) || !digits(broker) {
			return "Invalid value [" + strings.Join(items, ", ") + "] for configuration " + name + ": " + name +
				" must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."
		}
	}
	return ""
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// Voter is one member of controller.quorum.voters.
type Voter struct {
	ID   int32
	Host string // without brackets
	Port int32
}

// ParseVoters reads a value of controller.quorum.voters: id@host:port, separated by commas.
func ParseVoters(value string) ([]Voter, bool) {
	var voters []Voter
	for _, item := range SplitList(value) {
		id, address, ok := strings.Cut(item, "@")
		n, err := strconv.ParseInt(id, 10, 32)
		host, port, good := splitHostPort(address)
		if !ok || err != nil || n < 0 || !good || host == "" {
			return nil, false
		}
		voters = append(voters, Voter{ID: int32(n), Host: host, Port: port})
	}
	return voters, true
}

func checkVoters(name, value string) string {
	if _, ok := ParseVoters(value); !ok {
		return "Invalid configuration value for " + name + ". Each entry should be in the form `{id}@{host}:{port}`."
	}
	return ""
}

func checkClusterKey(name, value string) string {
	if len(value) < 16 {
		return "Invalid value for configuration " + name + ": it is shorter than 16 characters"
	}
	return ""
}

func checkHostPorts(name, value string) string {
	for _, item := range SplitList(value) {
		if host, _, ok := splitHostPort(item); !ok || host == "" {
			return "Failed to parse host name from " + item + " for the configuration " + name +
				". Each entry should be in the form \"{host}:{port}\""
		}
	}
	return ""
}

// splitHostPort takes host:port and [v6]:port apart. The host may be empty, the port is 0 to 65535.
func splitHostPort(s string) (host string, port int32, ok bool) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		return "", 0, false
	}
	host = s[:colon]
	n, err := strconv.ParseUint(s[colon+1:], 10, 16)
	if err != nil {
		return "", 0, false
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	} else if strings.Count(host, ":") == 1 || strings.ContainsAny(host, "[]") {
		return "", 0, false
	}
	return host, int32(n), !strings.ContainsAny(host, " \t/@")
}

// checkConnectionLimits: max.connections.per.ip.overrides is text of the form host:number,host:number.
func checkConnectionLimits(name, value string) string {
	for _, item := range SplitList(value) {
		colon := strings.LastIndexByte(item, ':')
		if colon < 1 {
			return "Error parsing configuration property '" + name + "': " + item + " is not in the form host:number"
		}
		if n, ok := parseWhole(strings.TrimSpace(item[colon+1:]), Int); !ok || n < 0 {
			return "Error parsing configuration property '" + name + "': " + item + " is not in the form host:number"
		}
	}
	return ""
}

func checkShareReset(name, value string) string {
	if value == "latest" || value == "earliest" || strings.HasPrefix(value, "by_duration:") && isoDuration(value[len("by_duration:"):]) {
		return ""
	}
	return "Invalid value " + value + " for configuration " + name +
		": Invalid value `" + value + "` for configuration " + name +
		". The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'."
}

// isoDuration says whether Java's Duration.parse takes s and finds it not negative: PnDTnHnMn.nS.
func isoDuration(s string) bool {
	rest, ok := strings.CutPrefix(strings.ToUpper(s), "P")
	if !ok {
		return false
	}
	days, clock, hasTime := strings.Cut(rest, "T")
	n, found := durationParts(days, "D")
	if !found || hasTime && clock == "" {
		return false
	}
	m, found := durationParts(clock, "HMS")
	return found && n+m > 0
}

// durationParts reads number-and-unit pairs whose units come in the order of units, each at most once, and counts them.
func durationParts(s, units string) (count int, ok bool) {
	for s != "" {
		end := strings.IndexAny(s, units)
		if end < 0 {
			return 0, false
		}
		number := s[:end]
		if whole, frac, dotted := strings.Cut(number, "."); dotted {
			if s[end] != 'S' || !digits(whole) || frac != "" && !digits(frac) {
				return 0, false
			}
		} else if !digits(number) {
			return 0, false
		}
		units = units[strings.IndexByte(units, s[end])+1:]
		s = s[end+1:]
		count++
	}
	return count, true
}

func checkClusterID(name, value string) string {
	id := strings.TrimSuffix(value, "==")
	ok := len(id) == 22
	for i := range len(id) {
		c := id[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}
	if !ok {
		return "Invalid value " + value + " for configuration " + name + ": Not 16 bytes in URL-safe base64"
	}
	return ""
}
