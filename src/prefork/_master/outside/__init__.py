"""Stacks of workers from outside: the readers that the master starts, as the workers' user."""
