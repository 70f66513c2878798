"""A worker whose master has died: how it serves on, and how the next master adopts it."""
