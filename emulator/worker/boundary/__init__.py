"""Boundary between host and user code in one process: what they share, and what each has for itself.

See docs/boundary.md.
"""
