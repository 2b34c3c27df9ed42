// Package lint holds the rules of the house that a test can hold: who may import whom, what pure packages may not do, sizes, names
// and documents. It has no code of its own: run go test ./internal/lint. Start reading at imports_test.go.
package lint
