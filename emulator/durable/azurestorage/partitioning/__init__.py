"""Partition management: assigns control queues to hosts, through rows of a table or blob leases."""
