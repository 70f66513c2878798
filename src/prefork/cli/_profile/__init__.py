"""The pages of `prefork profile`: a flame graph in one HTML file, and stacks as lines of text."""
