"""Application metrics: what prometheus_client counts in a worker goes to the memory that all workers share."""
