"""Recovery after a host was killed: another host on the machine takes over its identity, leases and messages."""
