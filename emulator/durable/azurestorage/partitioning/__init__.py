"""Partition management: which host reads which control queue, decided in a table or by blob leases."""
