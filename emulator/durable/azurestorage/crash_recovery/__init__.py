"""A host that is started after a killed one on the same machine: it has its name, and gives its messages back."""
