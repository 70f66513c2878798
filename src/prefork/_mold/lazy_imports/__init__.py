"""Imports that the application puts off: done in the mold, for all workers."""
