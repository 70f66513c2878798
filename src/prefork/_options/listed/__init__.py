"""The options of `prefork run` that no code gives, a module a subject, and the types of some."""
