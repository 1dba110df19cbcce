"""Building blocks of listeners that poll a queue: work loop, back-off, outage reports, lock renewal."""
