"""The options of `prefork run`: their table, their types and the target."""
