"""Samples of processes: where their threads are, again and again, by the interpreter or by py-spy."""
