"""Every sample, unmodified, over HTTP."""
