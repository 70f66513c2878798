"""The runtime directory: the daemon's lock, its roster, and the workers of a former master."""
