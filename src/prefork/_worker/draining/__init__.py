"""The request to drain, how a worker waits for it, and how it sleeps until the end of its drain."""
