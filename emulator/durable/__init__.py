"""Durable Task: orchestrations, activities and entities on a task hub. Does not depend on the functions host."""
