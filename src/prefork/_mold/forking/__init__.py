"""Forks of a mold: batches of newborns, and what a fork must not depend on."""
