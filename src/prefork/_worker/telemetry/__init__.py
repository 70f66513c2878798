"""OpenTelemetry in workers: each one's resource, by its slot."""
