"""Durable entities: messages to and from an entity, their order, locks, and batches of operations."""
