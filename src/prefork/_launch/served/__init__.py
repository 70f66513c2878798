"""`prefork run` and `prefork.run()`: the launch of an application, by options."""
