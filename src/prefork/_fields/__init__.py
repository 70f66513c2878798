"""What a field of a worker context may be: the types that travel, and the descriptors in them."""
