"""What the master measures for a judged reload."""
