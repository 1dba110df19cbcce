"""Task messages in queues: their JSON format, sending, receiving, locking and delaying."""
