"""azemu: run, test and debug Azure Functions and Durable Functions in pure Python."""

__version__ = "0.1.0"
