"""The dashboard: a page that shows the daemon live, its stream of changes, and commands for who has the token."""
