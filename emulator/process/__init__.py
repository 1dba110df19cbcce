"""The processes of a running azemu: the supervisor that stays, and the host that may be restarted."""
