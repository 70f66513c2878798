"""Takes stock of what the import has left behind: what a fork would share or lose, and what can be repaired."""
