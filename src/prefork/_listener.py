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
    """A socket that the master opens and passes to workers. A string stands for one with the defaults.

    `address`: `tcp://host:port` (host `*` or `[::]` for all addresses, IPv6 and IPv4; port 0 for any free one),
    `udp://host:port`, `unix:///path`, `unix://@abstract-name`, or `fd://N` for a descriptor that the program was
    started with (`fd://name` in socket activation).

    `sharing`: "shared" is one backlog for all workers, "sharded" one for each slot (only with a port). `backlog`: the
    most connections that wait (listen(2)). `nodelay` sends small answers at once (TCP_NODELAY). `defer_accept`: the
    most seconds that a connection waits unaccepted for its first byte (TCP_DEFER_ACCEPT); 0 for none. `reuseport` lets
    a new master of this daemon listen while workers of a dead one still do; without it the port is taken until all
    have ended. `mode`, `owner` and `group` of a Unix socket's path: the mode as a number (0o660), the others by name or
    number.

    Raises UsageError for an invalid address, and for options that do not fit it.
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
            raise UsageError(f"a listener's address must be a string, not {self.address!r}")
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
            ("owner", _is_user(self.owner), "a name or a number"),
            ("group", _is_user(self.group), "a name or a number"),
        ):
            if not fits:
                raise UsageError(f"listener {self.address}: {name} is {getattr(self, name)!r}: give {wanted}")
        path_only = [name for name in ("mode", "owner", "group") if getattr(self, name) is not None]
        if path_only and address.scheme != "unix":
            raise UsageError(f"listener {self.address}: {path_only[0]} is for unix:///path only; leave it out")
        if self.sharing == "sharded" and not address.has_port:
            raise UsageError(f'listener {self.address}: only tcp:// and udp:// can be sharded; give sharing="shared"')
        if self.sharing == "sharded" and not self.reuseport:
            raise UsageError(f"listener {self.address}: shards share their port; leave reuseport on")


def declared(listeners: Mapping[str, str | Listener] | None) -> dict[str, Listener]:
    """Return listeners by name, with a Listener for each string. Raises UsageError that names the invalid one."""
    found = {}
    for name, given in (listeners or {}).items():
        if not isinstance(name, str) or not name:
            raise UsageError(f"a listener's name must be a string, not {name!r}")
        try:
            found[name] = given if isinstance(given, Listener) else Listener(given)
        except UsageError as error:
            raise UsageError(f"listener {name!r}: {error}") from None
    return found


def as_data(listeners: Mapping[str, Listener]) -> dict[str, Any]:
    """Return a plan's listeners as plain data for `_wire.plan_data`. Raises UsageError if two have one address."""
    known: dict[Address, str] = {}
    data: dict[str, Any] = {}
    for name, listener in listeners.items():
        address = parse(listener.address)
        if (other := known.setdefault(address, name)) != name and not address.is_any_port:
            raise UsageError(f"listeners {other!r} and {name!r} have the same address, {listener.address}")
        data[name] = asdict(listener)
        for field in ("owner", "group"):
            data[name][field] = "" if data[name][field] is None else str(data[name][field])
    return data


def _is_number(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_user(value: object) -> bool:
    return value is None or (isinstance(value, str) and value != "") or _is_number(value, 0, 2**32 - 2)
