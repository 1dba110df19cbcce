"""Building blocks of listeners that poll a queue: work loop, back-off, failure reports, lock renewal."""
