"""Requests to the control socket, parsed and checked: one JSON object a line.

docs/control.md describes the protocol. A client is allowed to send any request, but may be broken: what is not exactly
one known request raises MalformedRequest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from ..._core.commands import COMMANDS, OF_JUDGE, Command
from ..._options.records import DaemonOptions
from ..._records.members import fields
from ..._records.record import record
from ..._wire.places import PROTOCOL

LONGEST = 4096
"""Bytes of a request, at most."""

_LONGEST_NAME = 200
_OPTIONS = {each.name: each.metadata["type"] for each in fields(DaemonOptions)}

LONGEST_PROFILE, HIGHEST_RATE = 600, 1000
"""Seconds, and samples a second, at most."""


class MalformedRequest(Exception):
    """A request that this daemon does not know; the text says what is wrong with it."""


@record
class Request:
    """One request; `command` is the change that it asks for, if any.

    `events`: send events until the command's outcome or, without a command, for ever. `slot`: whose history or stacks
    to return (stacks of all if empty), or the slot or pool to profile; `force`: dump the stacks of unresponsive workers
    too. `seconds`, `rate` (a second) and `idle` (threads that wait count) are for a profile.
    """

    what: Literal["hello", "status", "scoreboard", "connection", "events", "explain", "stacks", "profile", "command"]
    command: Command | None = None
    events: bool = False
    slot: str = ""
    force: bool = False
    seconds: float = 0.0
    rate: int = 0
    idle: bool = False


def parse(line: bytes) -> Request:
    """Return the request. Raises MalformedRequest."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise MalformedRequest("the request is not JSON") from None
    if not isinstance(data, dict):
        raise MalformedRequest("the request is not a JSON object")
    if data.pop("protocol", None) != PROTOCOL:
        raise MalformedRequest(f"`protocol` must be {PROTOCOL}, the version that this daemon speaks")
    request = _request(data.pop("request", None), data)
    if data:
        raise MalformedRequest(f"unknown field {str(min(data))[:_LONGEST_NAME]!r} in the request")
    return request


def _request(name: object, data: dict[str, Any]) -> Request:
    """Return the request; its fields are removed from `data`."""
    match name:
        case "hello":
            return Request("hello")
        case "status":
            return Request("status")
        case "scoreboard":
            return Request("scoreboard")
        case "connection":
            return Request("connection")
        case "events":
            return Request("events", events=_flag(data, "follow"))
        case "explain":
            return Request("explain", slot=_name(data, "slot"))
        case "stacks":
            slot = data.pop("slot", "") if data.get("slot") is None else _name(data, "slot")
            return Request("stacks", slot=slot or "", force=_flag(data, "force"))
        case "profile":
            seconds, rate = _within(data, "seconds", LONGEST_PROFILE), int(_within(data, "rate", HIGHEST_RATE))
            return Request("profile", slot=_name(data, "slot"), seconds=seconds, rate=rate, idle=_flag(data, "idle"))
    return Request("command", _command(name, data), _flag(data, "events"))


def _command(name: object, data: dict[str, Any]) -> Command:
    """Return a command whose fields are members of the request, each checked by its annotation."""
    cls = COMMANDS.get(name) if isinstance(name, str) else None
    if cls is None:
        raise MalformedRequest(f"there is no request {str(name)[:_LONGEST_NAME]!r}")
    own = [each.name for each in fields(cls) if each.name in OF_JUDGE and each.name in data]
    given = {each.name: _MEMBERS[str(each.type)](data, each.name) for each in fields(cls) if each.name not in OF_JUDGE}
    return cls(**given, **{option: _option(data, option) for option in own})


def _option(data: dict[str, Any], name: str) -> Any:
    """Return a member that is one of the daemon's options."""
    value = data.pop(name)
    try:
        return None if value is None else _OPTIONS[name].check(value)
    except ValueError as error:
        raise MalformedRequest(f"`{name}`: {error}") from None


def _flag(data: dict[str, Any], name: str) -> bool:
    value = data.pop(name, False)
    if not isinstance(value, bool):
        raise MalformedRequest(f"`{name}` must be true or false")
    return value


def _within(data: dict[str, Any], name: str, most: int) -> float:
    value = data.pop(name, None)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= most:
        raise MalformedRequest(f"`{name}` must be a number from 1 to {most}")
    return value


def _name(data: dict[str, Any], name: str) -> str:
    value = data.pop(name, None)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME:
        raise MalformedRequest(f"`{name}` must be a name of 1 to {_LONGEST_NAME} characters")
    return value


def _name_or_null(data: dict[str, Any], name: str) -> str | None:
    return data.pop(name) if data.get(name, "") is None else _name(data, name)


def _number_or_null(data: dict[str, Any], name: str) -> int | None:
    value = data.pop(name, "")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31):
        raise MalformedRequest(f"`{name}` is a number of workers, or null for the plan's own")
    return value


def _reload_or_replan(data: dict[str, Any], name: str) -> str:
    value = data.pop(name, None)
    if value not in ("reload", "replan"):
        raise MalformedRequest(f"`{name}` is reload or replan")
    return str(value)


_MEMBERS: Mapping[str, Callable[[dict[str, Any], str], Any]] = {
    "str": _name,
    "str | None": _name_or_null,
    "int | None": _number_or_null,
    "Literal['reload', 'replan']": _reload_or_replan,
}
"""The annotation of a command's field -> what takes it out of a request, and checks it."""
