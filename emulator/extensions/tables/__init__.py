"""Table input and output bindings (type table)."""
