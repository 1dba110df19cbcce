"""What Python's orchestrators ask for, played against the history: what is new becomes decisions."""
