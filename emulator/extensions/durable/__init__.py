"""Durable Functions as an extension of the functions host: triggers, client binding and HTTP API."""
