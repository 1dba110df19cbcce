"""Blob triggers, inputs and outputs (Azure Storage)."""
