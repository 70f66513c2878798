"""Watchers of files: their processes, and what a change asks for."""
