"""Files that are watched: by processes or by the kernel, what they hold, and what a change asks for."""
