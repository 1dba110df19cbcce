"""Azure Storage: the interface to queues, tables and blobs, three implementations of it, and export and import."""
