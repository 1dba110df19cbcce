"""Diagnosis of orchestrations: why an instance does not progress, and what to do about it.

    facts          what was read: queues, leases, tables, this host, the position of the orchestrator
    rules          facts → findings, as pure functions
    texts          findings → sentences and advice
    diagnosis      reads the facts of an instance or of all, and applies the rules

Nothing is written, created or received: messages are only peeked, so that it may run beside working hosts and on
accounts in Azure.
"""
