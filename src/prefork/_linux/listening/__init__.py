"""The listening sockets of this network namespace, as the kernel lists them for any user."""
