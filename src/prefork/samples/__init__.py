"""Three small example programs of the hooks interface."""
