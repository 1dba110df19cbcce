"""The command `azemu`."""
