"""Command line of `azemu`."""
