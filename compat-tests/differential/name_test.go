package differential

import "github.com/twmb/franz-go/pkg/kmsg"

func nameOf(key int16) string { return kmsg.NameForKey(key) }
