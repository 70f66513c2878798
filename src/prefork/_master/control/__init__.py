"""The control socket: requests of clients, and the answers."""
