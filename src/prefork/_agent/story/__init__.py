"""A daemon's records as a story: what was done from when to when, and which agent tells it. Pure."""
