"""What Prometheus sees of the daemon itself: the families of metrics `prefork_...` (docs/metrics.md)."""
