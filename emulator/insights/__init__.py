"""Telemetry for Application Insights, sent by Microsoft's exporter (docs/observability.md)."""
