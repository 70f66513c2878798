"""Upgrade in place: what a master is, as plain data and open files, through an exec of its own (docs/upgrade.md)."""
