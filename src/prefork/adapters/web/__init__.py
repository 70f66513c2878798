"""What stands between a server and the application, the same on every server."""
