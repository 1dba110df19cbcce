"""The log lines of the Durable Task extension, in its words, for which users and tools search."""
