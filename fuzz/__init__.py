"""Fuzzing of everything that parses what users, clients or storage send: `make fuzz`, and tests/fuzz with hypothesis."""
