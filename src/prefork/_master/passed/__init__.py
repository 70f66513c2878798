"""What the master passes to every process that it starts."""
