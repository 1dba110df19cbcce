"""HTTP server: connections, request limits, the middleware pipeline and request bodies."""
