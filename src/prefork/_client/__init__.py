"""How programs find running daemons and talk to them."""
