"""The listeners of a master that was killed, made again of the sockets that are left."""
