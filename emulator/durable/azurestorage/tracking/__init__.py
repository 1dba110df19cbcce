"""Tracking store of a task hub: the History and Instances tables."""
