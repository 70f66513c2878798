"""The listening sockets that the master opens and passes to workers."""
