"""A listener as the application declares it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any, Literal

from ._errors import UsageError
from ._linux.address import Address, parse

_MOST_BACKLOG = 2**31 - 1
_LONGEST_DEFER = 3600


@dataclass(frozen=True)
class Listener:
    """A socket that the master opens and that workers are given; a plain string is one with all defaults.

    `address`: `tcp://host:port` (host `*` or `[::]` for every address, IPv6 and IPv4; port 0 for any that is free),
    `udp://host:port`, `unix:///path`, `unix://@abstract-name`, or `fd://N` for a descriptor that the program was
    started with (`fd://name` for one of socket activation).

    `sharing`: "shared" is one queue that every worker accepts from, "sharded" one for each worker (only with a port).
    `backlog` is how many connections may wait; `nodelay` sends small answers at once; `defer_accept`, in seconds, lets
    connections wait unseen until their first byte has come, for as long at most. `reuseport` lets a new master of this
    daemon listen while workers of a dead one still do; without it a port is nobody else's until all have ended.
    `mode`, `owner` and `group` are those of a Unix socket's path: the mode as a number (0o660), the others by name or
    number.

    Raises UsageError for an address that is none, and for options that do not fit it.
    """

    address: str
    _: KW_ONLY
    sharing: Literal["shared", "sharded"] = "shared"
    backlog: int = 2048
    nodelay: bool = True
    defer_accept: int = 0
    reuseport: bool = True
    mode: int | None = None
    owner: str | int | None = None
    group: str | int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.address, str):
            raise UsageError(f"a listener's address is a text, not {self.address!r}")
        try:
            address = parse(self.address)
        except ValueError as error:
            raise UsageError(f"{self.address!r} is no address: {error}") from None
        for name, fits, wanted in (
            ("sharing", self.sharing in ("shared", "sharded"), '"shared" or "sharded"'),
            ("backlog", _is_number(self.backlog, 1, _MOST_BACKLOG), "a number from 1"),
            ("nodelay", isinstance(self.nodelay, bool), "True or False"),
            ("defer_accept", _is_number(self.defer_accept, 0, _LONGEST_DEFER), "whole seconds, at most an hour"),
            ("reuseport", isinstance(self.reuseport, bool), "True or False"),
            ("mode", self.mode is None or _is_number(self.mode, 0, 0o777), "a number such as 0o660"),
            ("owner", _is_who(self.owner), "a name or a number"),
            ("group", _is_who(self.group), "a name or a number"),
        ):
            if not fits:
                raise UsageError(f"listener {self.address}: {name} is {getattr(self, name)!r}: give {wanted}")
        path_only = [name for name in ("mode", "owner", "group") if getattr(self, name) is not None]
        if path_only and address.scheme != "unix":
            raise UsageError(f"listener {self.address}: {path_only[0]} is for the path of a Unix socket")
        if self.sharing == "sharded" and not address.has_port:
            raise UsageError(f"listener {self.address}: only tcp:// and udp:// can be sharded; leave it shared")
        if self.sharing == "sharded" and not self.reuseport:
            raise UsageError(f"listener {self.address}: shards share their port, so reuseport has to stay on")


def declared(listeners: Mapping[str, str | Listener] | None) -> dict[str, Listener]:
    """Return listeners by name, strings made into records. Raises UsageError that names what does not fit."""
    found = {}
    for name, given in (listeners or {}).items():
        if not isinstance(name, str) or not name:
            raise UsageError(f"a listener's name is a text, not {name!r}")
        try:
            found[name] = given if isinstance(given, Listener) else Listener(given)
        except UsageError as error:
            raise UsageError(f"listener {name!r}: {error}") from None
    return found


def as_data(listeners: Mapping[str, Listener]) -> dict[str, Any]:
    """Return a plan's listeners as plain data that `_wire.plan_data` takes apart. Raises UsageError for a clash."""
    known: dict[Address, str] = {}
    data: dict[str, Any] = {}
    for name, listener in listeners.items():
        address = parse(listener.address)
        if (other := known.setdefault(address, name)) != name and not address.is_any_port:
            raise UsageError(f"listeners {other!r} and {name!r} have one address, {listener.address}")
        data[name] = asdict(listener)
        for who in ("owner", "group"):
            data[name][who] = "" if data[name][who] is None else str(data[name][who])
    return data


def _is_number(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_who(value: object) -> bool:
    return value is None or (isinstance(value, str) and value != "") or _is_number(value, 0, 2**32 - 2)
