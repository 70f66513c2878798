"""The access log: a line about each request, written by the worker that has answered it."""
