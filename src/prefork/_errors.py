"""What can go wrong, by whose fault it is: the caller's, the world's, or ours.

Whoever catches one of these knows from its class whether to mend the program, to try again, or to report a bug.
"""


class PreforkError(Exception):
    """The common base; it is never raised itself."""


class UsageError(PreforkError):
    """The program or its configuration asks for something that cannot be. Exit code 2."""


class SystemFailure(PreforkError):
    """The kernel, the file system or another process failed us. Exit code 1."""


class NotRunningError(SystemFailure):
    """No such daemon runs. Exit code 3."""


class CommandFailedError(SystemFailure):
    """The daemon did not reach what it was asked for; the message is its reason. Exit code 1."""


class InternalError(PreforkError):
    """prefork has a bug: please report it with the message."""
