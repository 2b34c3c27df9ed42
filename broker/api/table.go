package api

// Table is the only registration of handlers, sorted by key. A key that is not in it is not advertised.
var Table = []Row{}
