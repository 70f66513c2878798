"""The reader: a short-lived process that reads the Python stacks of a worker from outside, once or again and again."""
