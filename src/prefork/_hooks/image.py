"""What a worker is to be, checked before a process is started for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._errors import UsageError
from .._linux.terms import Terms
from .._records.members import field
from .._records.record import record


@record
class WorkerImage:
    """What a worker is to be: its key, its encoded context, how it is started, and what it inherits."""

    key: str
    context: bytes
    interpreter_options: Sequence[str] = ()
    arguments: Sequence[str] = ()
    descriptors: Sequence[int] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    terms: Terms = field(default_factory=Terms)


def words(what: str, given: Any) -> tuple[str, ...]:
    """Return `given` if a command line can hold it. A string is refused: it is a sequence of its letters."""
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(word, str) for word in given):
        raise UsageError(f"{what}: {given!r} is not a list of strings")
    if any("\0" in word for word in given):
        raise UsageError(f"{what}: {given!r} contains a NUL byte, which ends an argument")
    return tuple(given)


def variables(what: str, given: Any) -> dict[str, str]:
    """Return `given` if it can be added to an environment (environ(7))."""
    if not isinstance(given, Mapping) or not all(isinstance(text, str) for pair in given.items() for text in pair):
        raise UsageError(f"{what}: {given!r} is not a dict of strings")
    for name, value in given.items():
        if not name or "=" in name or "\0" in name + value:
            raise UsageError(f"{what}: {name!r}={value!r} cannot be a variable: a name is not empty and has no =")
    return dict(given)


def terms(what: str, affinity: Any, nice: Any) -> Terms:
    """Return the terms that these are. Raises UsageError."""
    if isinstance(affinity, str | bytes | Mapping) or not _are_numbers(affinity):
        raise UsageError(f"{what}: affinity={affinity!r} does not consist of numbers of processors")
    if nice is not None and not (_are_numbers([nice]) and -20 <= nice <= 19):
        raise UsageError(f"{what}: nice={nice!r} is not a number from -20 to 19")
    return Terms(nice=nice, affinity=tuple(affinity))


def _are_numbers(values: Any) -> bool:
    try:
        return all(type(value) is int for value in values)
    except TypeError:  # They are not several.
        return False
