"""One kernel object a module, for more than one kind of process. No policy."""
