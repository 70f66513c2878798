"""The master process of a daemon: one loop, and what carries out the core's actions."""
