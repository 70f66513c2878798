"""The master's ends of its channels: they send descriptors and take none."""
