// Package image runs the container image of the broker the way container libraries do. It has only tests, which are skipped where
// there is no Docker daemon; no registry is asked for anything.
package image
