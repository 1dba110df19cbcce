"""Blob triggers and blob bindings (blobTrigger, blob)."""
