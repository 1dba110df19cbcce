"""Azure Storage as far as azemu uses it. Knows nothing of durable functions or of the functions host."""
