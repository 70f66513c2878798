"""New projects: the templates, and the files that `prefork new` writes from one."""
