"""Deterministic simulation of several hosts on one task hub, in virtual time, with seeded faults.

`python -m tests.simulation SEED` runs one seed and shows what happened.
"""
