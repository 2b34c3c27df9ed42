// Package file reads what a proxy is to do from a YAML file, and says what is wrong with it, line by line. It opens what the file names:
// certificates, and files for audit lines. It starts no proxy and watches nothing but when asked.
//
// Start reading at Read; schema.go has what may be in a file, filters.go the filters.
package file
