"""Decides: events in, actions out, time is an argument. No system calls."""
