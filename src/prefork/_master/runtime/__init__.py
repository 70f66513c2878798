"""The runtime directory: lock, roster, and workers of a previous master."""
