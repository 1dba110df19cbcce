"""Console of the host: log categories, log lines, banner and function list."""
