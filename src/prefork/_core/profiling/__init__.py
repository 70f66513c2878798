"""Which workers are profiled without being asked for, and when."""
