"""The errors, a class for each party that is at fault: the caller, the system, or prefork itself.

The class says what to do: fix the program, try again, or report a bug.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import ClassVar, NoReturn


class PreforkError(Exception):
    """The base of all errors; never raised itself."""

    exit_code: ClassVar[int] = 1


class UsageError(PreforkError):
    """The program or its configuration asks for something that is not possible. Exit code 2."""

    exit_code = 2


class MisplacedError(UsageError):
    """A master is to start inside another daemon, which reports the message as it is, without a traceback."""


class SystemFailure(PreforkError):
    """The kernel, the file system or another process failed. Exit code 1."""


class NotRunningError(SystemFailure):
    """No such daemon is running. Exit code 3."""

    exit_code = 3


class CommandFailedError(SystemFailure):
    """The daemon could not carry out a command; the message is the reason. Exit code 1."""


class InternalError(PreforkError):
    """A bug in prefork: please report it with the message. Exit code 1."""


def exit_with(error: PreforkError) -> NoReturn:
    """Print an error to standard error and exit with its code. Its text may be another user's: it is made printable."""
    text = "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in str(error))
    print(f"prefork: {text}", file=sys.stderr)
    sys.exit(error.exit_code)


def did_you_mean(given: str, known: Iterable[str], prefix: str = "") -> str:
    """Return what to append to an error about an unknown name: the nearest known one, or nothing."""
    from difflib import get_close_matches  # Here, since it takes 4 ms and few errors need it.

    near = get_close_matches(given[:200], list(known), 1)
    return f": did you mean {prefix}{near[0]}?" if near else ""
