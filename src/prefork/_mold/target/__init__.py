"""The target of `prefork run`, imported: its module, and the object that it names."""
