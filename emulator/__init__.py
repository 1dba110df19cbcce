"""azemu: run, test and debug Azure Functions and Durable Functions apps in pure Python."""

__version__ = "0.1.0"
