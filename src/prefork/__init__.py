"""A library for preforking daemons."""
