"""HTTP side of the Functions host, in three packages: server on top of routing, routing on top of keys."""
