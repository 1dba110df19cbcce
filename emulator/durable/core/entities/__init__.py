"""Entities: what they say to each other, in which order, and what a batch of operations leads to."""
