package compat

import "testing"

func TestMain(m *testing.M) { Main(m) }
