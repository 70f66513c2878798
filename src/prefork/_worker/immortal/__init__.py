"""Immortal objects (PEP 683): the mold's heap, with references that CPython counts no longer."""
