"""Formats on which two processes must agree."""
