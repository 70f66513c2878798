"""What the master passes to workers besides listeners: files that it has read, and connections to itself."""
