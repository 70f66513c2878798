"""A plan, taken apart from the plain data that a mold sent: every part checked, since a mold is not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from .._core.plan import Entry, Kind, Listener, Plan, Pool
from .._linux.terms import LIMITS, Terms
from .keys import LONGEST
from .printable import printable

T = TypeVar("T")

_LONGEST_NAME = 200
"""Characters."""

_HIGHEST_ID = 2**32 - 2
"""The next one stands for nobody; chown(2)."""


class MalformedPlan(Exception):
    """The mold sent something that no honest mold sends."""


@dataclass(frozen=True, slots=True)
class Assignable:
    """What the master hands to the worker of an entry, and does to it, without looking into its context."""

    context: str
    env: Mapping[str, str]
    terms: Terms
    interpreter_options: tuple[str, ...]
    explicit_ready: bool
    never_twice: bool
    drain_timeout: float
    hang_timeout: float
    hang_kills: bool


@dataclass(frozen=True, slots=True)
class ReceivedPlan:
    """A plan, what its entries stand for by key and digest, and the file whose change asks for another plan.

    `about` is what people are told of the application: `application`, `server`, and `web` where HTTP is spoken.
    """

    plan: Plan
    assignables: Mapping[tuple[str, str], Assignable]
    watched: str | None
    about: Mapping[str, str]


def take_apart(data: Any) -> ReceivedPlan:
    """Return the plan. Raises MalformedPlan."""
    kinds = {name: _kind(_name(name), options) for name, options in _part(data, "kinds", dict).items()}
    entries, assignables = [], {}
    for given in _part(data, "entries", list):
        kind = _part(given, "kind", str)
        options = _part(data["kinds"], kind, dict)
        entry = Entry(_key(given), kind, _part(given, "digest", str), options.get("spawn", "fork"))
        entries.append(entry)
        assignables[entry.key, entry.digest] = _assignable(given, options)
    pools = tuple(_pool(given) for given in _part(data, "pools", list))
    listeners = tuple(_listener(name, given) for name, given in _part(data, "listeners", dict).items())
    watched = data.get("watched")
    return ReceivedPlan(
        Plan(tuple(entries), tuple(kinds.values()), pools, listeners),
        assignables,
        None if watched is None else _text(watched),
        {_text(name): _printable(text) for name, text in _part(data, "about", dict).items()},
    )


def _kind(name: str, options: Any) -> Kind:
    if not isinstance(options, dict):
        raise MalformedPlan(f"the options of kind {name}")
    restart = options.get("restart", "always")
    replace = options.get("replace", "new-first")
    if restart not in ("always", "on-failure", "never") or replace not in ("new-first", "old-first"):
        raise MalformedPlan(f"the options of kind {name}")
    if options.get("spawn", "fork") not in ("fork", "exec"):
        raise MalformedPlan(f"the spawn of kind {name}")
    hang_policy = options.get("hang_policy", "kill")
    if hang_policy not in ("kill", "report"):
        raise MalformedPlan(f"the hang_policy of kind {name}")
    return Kind(
        name,
        restart,
        replace,
        _seconds(options, "start_timeout", 60.0),
        _seconds(options, "drain_timeout", 30.0),
        max_age=_seconds(options, "max_age", 0.0),
        hang_policy=hang_policy,
    )


def _listener(name: str, given: Any) -> Listener:
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
        _somebody(given, "owner"),
        _somebody(given, "group"),
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


def _assignable(given: Any, options: Any) -> Assignable:
    launch = _part(given, "launch", dict)
    return Assignable(
        context=_part(given, "context", str),
        env={_text(name): _text(value) for name, value in _part(launch, "env", dict).items()},
        terms=_terms(options, launch),
        interpreter_options=tuple(_text(option) for option in _part(launch, "interpreter_options", list)),
        explicit_ready=options.get("ready") == "explicit",
        never_twice=options.get("replace") == "old-first",
        drain_timeout=_seconds(options, "drain_timeout", 30.0),
        hang_timeout=_seconds(options, "hang_timeout", 30.0),
        hang_kills=options.get("hang_policy", "kill") == "kill",
    )


def _terms(options: Any, launch: Any) -> Terms:
    """Those of the kind, and where the worker itself says something else, that."""
    limits = _part(options, "limits", dict) if "limits" in options else {}
    affinity = launch.get("affinity") or options.get("affinity") or []
    nice = launch.get("nice") if launch.get("nice") is not None else options.get("nice")
    score = options.get("oom_score_adj")
    return Terms(
        limits=tuple(_limit(name, value) for name, value in limits.items()),
        nice=None if nice is None else _number({"nice": nice}, "nice", -20, 19),
        affinity=tuple(_number({"cpu": cpu}, "cpu", 0, 2**16) for cpu in _part({"cpus": affinity}, "cpus", list)),
        oom_score_adj=None if score is None else _number(options, "oom_score_adj", -1000, 1000),
    )


def _limit(name: str, value: Any) -> tuple[str, int, int]:
    soft, hard = value if isinstance(value, list) and len(value) == 2 else (value, value)
    if name not in LIMITS:
        raise MalformedPlan(f"the limit {name}")
    return name, _number({name: soft}, name, -1, 2**63 - 1), _number({name: hard}, name, -1, 2**63 - 1)


def _seconds(options: Any, name: str, default: float) -> float:
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**31:
        raise MalformedPlan(f"{name} is {value!r}")
    return float(value)


def _part(data: Any, name: str, kind: type[T]) -> T:
    value = data.get(name) if isinstance(data, dict) else None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise MalformedPlan(f"{name} is {value!r}")
    return value


def _number(data: Any, name: str, least: int, most: int) -> int:
    value = _part(data, name, int)
    if not least <= value <= most:
        raise MalformedPlan(f"{name} is {value!r}")
    return value


def _key(given: Any) -> str:
    """A key as an honest mold makes them: it stands in titles, in the scoreboard and in the log."""
    key = _part(given, "key", str)
    if not (key and key.isascii() and key.isprintable() and len(key) <= LONGEST):
        raise MalformedPlan(f"the key {key!r}")
    return key


def _name(value: Any) -> str:
    """A name for people to read, or an address."""
    name = _text(value)
    if not (name.isprintable() and len(name) <= _LONGEST_NAME):
        raise MalformedPlan(f"the name {name[:_LONGEST_NAME]!r}")
    return name


def _address(given: Any) -> str:
    """An address; bytes of a path that are no text have come as lone surrogates."""
    address = _part(given, "address", str)
    _name("".join(letter for letter in address if not "\udc80" <= letter <= "\udcff"))
    return address


def _somebody(given: Any, name: str) -> str:
    """A user's or group's name or number, or nothing."""
    who = _name(_part(given, name, str))
    if who.isdecimal() and int(who) > _HIGHEST_ID:
        raise MalformedPlan(f"{name} is {who}")
    return who


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise MalformedPlan(f"{value!r} is no text")
    return value


def _printable(value: Any) -> str:
    """Text for a terminal, on which an application without the master's rights is not to draw as it likes."""
    return printable(_text(value)[:200])
