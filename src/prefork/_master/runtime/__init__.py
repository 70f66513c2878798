"""The runtime directory: the daemon's lock, its roster, and the workers of a previous master."""
