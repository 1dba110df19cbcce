"""The HTTP side of the host: the server, its routes, keys and access."""
