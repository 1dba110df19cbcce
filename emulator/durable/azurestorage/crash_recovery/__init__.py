"""Recovery from a killed host on the same machine: its identity, its locked messages, and who takes them over."""
