"""Observers of the app's code during a test: its log lines, real waits, leftover work, and determinism."""
