"""One kernel object a module, for use in more than one kind of process. No policy."""
