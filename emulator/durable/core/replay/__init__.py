"""Replay of a Python orchestrator's actions against the history: those that are not in the history become decisions."""
