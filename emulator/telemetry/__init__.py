"""OpenTelemetry traces of the host: spans, and their export over OTLP (docs/observability.md)."""
