"""What a test does to its server: waits for a state of it, loads it, measures it."""
