"""The launching process: from `run()` or `prefork run` to the master, by exec."""
