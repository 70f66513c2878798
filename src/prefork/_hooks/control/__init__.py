"""The control socket of a hooks master: what its clients see, and what they may command."""
