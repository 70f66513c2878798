"""The descriptor store of a service manager: what it holds for the next master, and what the one before has left."""
