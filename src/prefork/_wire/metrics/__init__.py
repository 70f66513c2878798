"""Application metrics in memory that all processes of a daemon share: the format, and its reading."""
