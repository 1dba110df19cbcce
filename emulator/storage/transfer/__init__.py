"""Copies of whole accounts and task hubs: from one storage account to another, to a file and from a file."""
