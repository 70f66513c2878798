"""The listening sockets that the master opens, and who is given them."""
