"""When a slot's next worker starts: after an end, after failures in a row, or when a limit of its kind is reached."""
