"""Admin API of the Functions host, /admin/…: host status and commands, functions, access keys."""
