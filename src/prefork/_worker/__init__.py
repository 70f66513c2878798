"""A worker process, from its birth in the mold to its exit."""
