"""Replay of a Python orchestrator's actions against the history: the new ones become decisions."""
