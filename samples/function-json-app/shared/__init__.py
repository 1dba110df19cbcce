"""Code of several functions."""
