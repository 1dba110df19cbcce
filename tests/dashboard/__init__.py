"""The dashboard: its API over HTTP, the record of lines and invocations, its pages in a browser."""
