"""How this process was started: its command line and its environment, as exec got them."""
