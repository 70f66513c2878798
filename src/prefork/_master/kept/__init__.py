"""The state of each part of a master as a record with its descriptors, and the part made of it again."""
