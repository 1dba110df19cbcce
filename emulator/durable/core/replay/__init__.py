"""Replay of a Python orchestrator's actions against the history: actions that it does not contain become decisions."""
