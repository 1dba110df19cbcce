"""Durable Task: orchestrations, activities and entities on a task hub. Knows nothing of the functions host."""
