"""Log lines of the Durable Task extension, with its texts, because users and tools search for them."""
