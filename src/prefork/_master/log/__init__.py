"""The daemon's log, and the captured output of its processes."""
