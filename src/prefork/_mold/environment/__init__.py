"""What a mold sets up before it imports the application: variables, module search path, umask, logging."""
