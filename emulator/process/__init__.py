"""Processes of `azemu start`: the supervisor and the host process that it restarts when the app changes."""
