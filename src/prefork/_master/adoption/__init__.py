"""A new master adopts the workers of one that was killed: what it needs for that, where it is, and what is believed."""
