package config

import "testing"

// Whatever bytes a file holds, reading it ends with settings or with an error.
func FuzzProperties(f *testing.F) {
	for _, text := range []string{"a=1", "a : b\\\n c", "\\u00e9=\\u00e9", "log.dirs=/a,/b\n# c\n! d\nnode.id 3", "=", "\\", "${a}=${b}", "\xff"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		source, err := FromProperties("f", text)
		if err != nil {
			return
		}
		if s, _, err := Resolve(source); err == nil {
			s.All()
			(&Layers{Static: s}).DescribeBroker(nil, true, true)
		}
	})
}
