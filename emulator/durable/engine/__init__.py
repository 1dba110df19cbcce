"""Durable engine: runs the work items of a task hub and returns their outcomes."""
