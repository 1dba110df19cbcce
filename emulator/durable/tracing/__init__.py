"""Log lines of the Durable Task extension, in the words that users and tools search for."""
