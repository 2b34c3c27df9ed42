//go:build !race

package protocol

// raceEnabled says whether the race detector is on.
const raceEnabled = false
