"""Immutable values, for every process: cheap to define, and to import."""
