"""A plan, parsed and checked from the data of a mold, which is not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from .._core.plan import Entry, Kind, Listener, Plan, Pool
from .._errors import UsageError
from .._linux.terms import Terms
from .._options.records import DaemonOptions, KindOptions, Record, checked
from .._options.types import shown
from .._records.members import field, replace
from .._records.record import record
from .keys import LONGEST
from .printable import printable

T = TypeVar("T")

_LONGEST_NAME = 200
"""Characters."""

_MOST = {"entries": 2048, "kinds": 256, "pools": 256, "listeners": 256}
"""The most of each: what is made of them must not keep the master from its loop for long."""

_HIGHEST_ID = 2**32 - 2
"""The next one means no change; chown(2)."""


class MalformedPlan(Exception):
    """The mold sent a plan that is not allowed."""


@record
class Assignable:
    """What the master sends to the worker of an entry, and does to it. It does not read the context.

    `files`, which come from the master itself: what was in the files that the operator has named, by option.
    `auxiliary`: see `Kind`.
    """

    context: str
    env: Mapping[str, str]
    terms: Terms
    interpreter_options: tuple[str, ...]
    options: KindOptions
    auxiliary: bool = False
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def ends_with_master(self) -> bool:
        """Whether the kernel kills the worker with the master.

        Old-first must never run twice, and the next master starts its successor at once. An auxiliary worker is no part
        of the service, and the next master has its own.
        """
        return self.auxiliary or self.options.replace == "old-first"


@record
class ReceivedPlan:
    """A plan, the assignables of its entries by key and digest, and the file whose change asks for another plan.

    `options` are those that the daemon's code sets. `about` describes the application for people: `application`,
    `server`, and `web` where it speaks HTTP: `http` or `https`.
    """

    plan: Plan
    assignables: Mapping[tuple[str, str], Assignable]
    options: DaemonOptions
    watched: str | None
    about: Mapping[str, str]


def take_apart(data: Any) -> ReceivedPlan:
    """Return the plan. Raises MalformedPlan."""
    for part, most in _MOST.items():
        if (count := len(_part(data, part, list if part in ("entries", "pools") else dict))) > most:
            what = "workers" if part == "entries" else part
            raise MalformedPlan(f"it has {count:,} {what}, and {most:,} are the most")
    auxiliary = _part({"auxiliary": [], **data}, "auxiliary", list)  # Names of kinds and listeners.
    kinds = {
        name: Kind(_name(name), _options(KindOptions, options), name in auxiliary)
        for name, options in _part(data, "kinds", dict).items()
    }
    entries, assignables = [], {}
    for given in _part(data, "entries", list):
        kind = _part(given, "kind", str)
        if kind not in kinds:
            raise MalformedPlan(f"there is no kind {shown(kind)}")
        entry = Entry(_key(given), kind, _part(given, "digest", str), kinds[kind].options.spawn)
        entries.append(entry)
        assignables[entry.key, entry.digest] = _assignable(given, kinds[kind])
    pools = tuple(_pool(given) for given in _part(data, "pools", list))
    given_listeners = _part(data, "listeners", dict).items()
    listeners = tuple(_listener(name, given, name in auxiliary) for name, given in given_listeners)
    watched = data.get("watched")
    return ReceivedPlan(
        Plan(tuple(entries), tuple(kinds.values()), pools, listeners),
        assignables,
        _options(DaemonOptions, _part(data, "options", dict)),
        None if watched is None else _text(watched),
        {_text(name): _printable(text) for name, text in _part(data, "about", dict).items()},
    )


def _options(record: type[Record], given: Any) -> Record:
    """Return the options. The record's checks are all that stands between the master and a mold that is not trusted."""
    if not isinstance(given, dict):
        raise MalformedPlan(f"the options are {shown(given)}")
    try:
        return checked(record, given)
    except UsageError as error:
        raise MalformedPlan(str(error)) from None


def _listener(name: str, given: Any, auxiliary: bool) -> Listener:
    sharing, mode = _part(given, "sharing", str), given.get("mode")
    if sharing not in ("shared", "sharded"):
        raise MalformedPlan(f"the sharing of listener {name}")
    return Listener(
        _name(name),
        _address(given),
        sharing,  # type: ignore[arg-type]  # it is one of the two
        _number(given, "backlog", 1, 2**31 - 1),
        _part(given, "nodelay", bool),
        _number(given, "defer_accept", 0, 3600),
        _part(given, "reuseport", bool),
        None if mode is None else _number(given, "mode", 0, 0o777),
        _owner(given, "owner"),
        _owner(given, "group"),
        auxiliary,
    )


def _pool(given: Any) -> Pool:
    keys = tuple(_text(key) for key in _part(given, "keys", list))
    return Pool(
        _part(given, "kind", str),
        keys,
        _part(given, "size", int),
        _part(given, "min", int),
        _part(given, "default", bool),
    )


def _assignable(given: Any, kind: Kind) -> Assignable:
    launch = _part(given, "launch", dict)
    return Assignable(
        context=_part(given, "context", str),
        env={_text(name): _text(value) for name, value in _part(launch, "env", dict).items()},
        terms=_terms(kind.options, launch),
        interpreter_options=tuple(_text(option) for option in _part(launch, "interpreter_options", list)),
        options=kind.options,
        auxiliary=kind.auxiliary,
    )


def _terms(options: KindOptions, launch: Any) -> Terms:
    """Return the terms of the kind, or those that the worker's own launch sets instead."""
    own = {name: launch[name] for name in ("affinity", "nice") if launch.get(name) not in (None, [])}
    if own:
        options = replace(options, **{name: getattr(_options(KindOptions, own), name) for name in own})
    return Terms(
        limits=tuple((name, *pair) for name, pair in options.limits.items()),  # type: ignore[misc]  # pairs, once checked
        nice=options.nice,
        affinity=tuple(options.affinity),
        oom_score_adj=options.oom_score_adj,
    )


def _part(data: Any, name: str, kind: type[T]) -> T:
    value = data.get(name) if isinstance(data, dict) else None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise MalformedPlan(f"{name} is {shown(value)}")
    return value


def _number(data: Any, name: str, least: int, most: int) -> int:
    value = _part(data, name, int)
    if not least <= value <= most:
        raise MalformedPlan(f"{name} is {shown(value)}")
    return value


def _key(given: Any) -> str:
    """Return a key; it appears in titles, in the scoreboard and in the log."""
    key = _part(given, "key", str)
    if not (key and key.isascii() and key.isprintable() and len(key) <= LONGEST):
        raise MalformedPlan(f"the key {shown(key)} is not allowed")
    return key


def _name(value: Any) -> str:
    """Return a name for people, or an address."""
    name = _text(value)
    if not (name.isprintable() and len(name) <= _LONGEST_NAME):
        raise MalformedPlan(f"the name {shown(name)} is not allowed")
    return name


def _address(given: Any) -> str:
    """Return an address; bytes of a path that are not text come as lone surrogates."""
    address = _part(given, "address", str)
    _name("".join(letter for letter in address if not "\udc80" <= letter <= "\udcff"))
    return address


def _owner(given: Any, name: str) -> str:
    """Return the name or number of a user or group, or nothing."""
    owner = _name(_part(given, name, str))
    if owner.isdecimal() and int(owner) > _HIGHEST_ID:
        raise MalformedPlan(f"{name} is {owner}")
    return owner


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise MalformedPlan(f"{shown(value)} is not text")
    return value


def _printable(value: Any) -> str:
    """Return text for a terminal, without the control characters of an application that is not trusted."""
    return printable(_text(value)[:200])
