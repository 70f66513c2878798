"""Processes that are no children of this one: how one has ended, and signals to it and its group."""
