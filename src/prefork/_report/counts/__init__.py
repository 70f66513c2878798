"""Counts of what has happened to a daemon since its master started."""
