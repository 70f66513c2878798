"""The supervisor's state as bytes that another program reads: their format, and the types that it must find."""
