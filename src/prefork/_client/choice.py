"""Which daemon a command is for: the one that it names, or that of its directory; never another one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._errors import NotRunningError, SystemFailure, UsageError
from .._wire.printable import printable

if TYPE_CHECKING:
    from .search import Found

_MOST = 8
"""Daemons that an error names."""


@dataclass(frozen=True, slots=True)
class Configured:
    """The daemon that `prefork run` would start in this directory."""

    name: str
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a command says of its daemon.

    `here` is the command's directory, None if it has been removed. `reads`: the command changes nothing, so that it may
    take the only daemon of all where there is none of this directory. `searched`: the places where daemons were sought.
    """

    here: str | None
    name: str | None = None
    configured: Configured | None = None
    reads: bool = False
    searched: Sequence[str] = ()


def choose(wish: Wish, found: Sequence[Found]) -> Found:
    """Return the daemon. Raises NotRunningError; UsageError where it cannot be told; SystemFailure if it is refused."""
    if wish.name is not None:
        return _named(wish.name, wish, found)
    found = [each for each in found if not each.refused]
    if wish.configured is not None:
        return _configured(wish.configured, wish, found)
    local = _local(wish.here, found)
    if len(local) == 1 or (wish.reads and not local and len(found) == 1):
        return (local or found)[0]
    if not found:
        raise NotRunningError("no daemon is running; start one with `prefork run`" + _searched(wish))
    if local:
        raise UsageError(f"several daemons run in this directory: {_texts(local, found)}; choose one with -n NAME")
    raise UsageError(f"no daemon runs in this directory{_at(wish.here)}; {_running(found)}")


def _named(name: str, wish: Wish, found: Sequence[Found]) -> Found:
    # First by the name of the runtime directory, which no daemon can choose for itself where the one around is root's.
    called = [each for each in found if each.has_directory_called(name)] or [
        each for each in found if each.name == name
    ]
    able = [each for each in called if not each.refused]
    if len(able) > 1:
        able = _local(wish.here, able) or able
    if len(able) > 1:
        raise UsageError(f"several daemons are called {name}: {_texts(able, able)}; choose one by -n DIRECTORY")
    if able:
        return able[0]
    if called:
        raise SystemFailure(f"no permission to connect to the daemon in {called[0].place}")
    others = [each for each in found if not each.refused]
    text = f"no daemon {name} is running" + (f"; running: {_texts(others, others)}" if others else "")
    raise NotRunningError(text + _searched(wish))


def _configured(configured: Configured, wish: Wish, found: Sequence[Found]) -> Found:
    """Return the daemon of this directory that has the configured name, or target: it may run under another name."""
    local = _local(wish.here, found)
    meant = [each for each in local if each.is_called(configured.name)]
    meant = meant or [each for each in local if each.target and each.target == configured.target]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise UsageError(f"several daemons run in this directory: {_texts(meant, found)}; choose one with -n NAME")
    text = f"no daemon {configured.name} is running"
    if local or any(each.is_called(configured.name) for each in found):
        raise UsageError(f"{text} in this directory{_at(wish.here)}; {_running(found)}")
    raise NotRunningError(text + (f"; running: {_texts(found, found)}" if found else "") + _searched(wish))


def _local(here: str | None, found: Sequence[Found]) -> list[Found]:
    """Return the daemons of this directory: those that know it by this name, or by another one if there are none."""
    exact = [each for each in found if here is not None and each.directory == here]
    return exact or [each for each in found if each.here]


def _running(found: Sequence[Found]) -> str:
    return f"running: {_texts(found, found)}; name the daemon that you mean, as in `-n {_handle(found[0], found)}`"


def _texts(shown: Sequence[Found], found: Sequence[Found]) -> str:
    texts = [_text(each, found) for each in shown[:_MOST]]
    return ", ".join(texts) + (f" and {len(shown) - _MOST} more (`prefork list`)" if len(shown) > _MOST else "")


def _text(one: Found, found: Sequence[Found]) -> str:
    where = f" in {printable(one.directory)}" if one.directory else ""
    name, handle = printable(one.name), _handle(one, found)
    return f"{name}{where}" + (f" (-n {handle})" if handle != name else "")


def _handle(one: Found, found: Sequence[Found]) -> str:
    """Return what to type for a daemon: its name, or its runtime directory where the name is not its alone."""
    alone = sum(each.is_called(one.name) for each in found) == 1
    return printable(one.name if alone else one.place)


def _searched(wish: Wish) -> str:
    return f"; searched: {printable(', '.join(wish.searched))}" if wish.searched else ""


def _at(here: str | None) -> str:
    return f" ({printable(here)})" if here else ""
