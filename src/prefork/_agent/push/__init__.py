"""What the agent sends by itself: metrics and spans over OTLP, and figures to a statsd server."""
