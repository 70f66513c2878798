"""Judges what the master measures of workers and queues: who hangs, how, and which queue stands still."""
