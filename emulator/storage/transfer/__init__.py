"""Whole accounts and task hubs, from one storage to another or to a file."""
