"""What people may ask of a daemon over its control socket, taken apart and checked: one JSON object a line.

docs/control.md describes the protocol. Whoever asks is allowed to, but may be wrong or broken: whatever is not exactly
one known request raises MalformedRequest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from ..._core.commands import Command, Preview, Reload, Replan, Restart, Scale, Stop
from ..._wire.places import PROTOCOL

"""Grows when a client of before could no longer make itself understood, or would misunderstand; not for additions."""

LONGEST = 4096
"""Bytes of a request."""

_LONGEST_NAME = 200


class MalformedRequest(Exception):
    """It is none that this daemon knows; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `command` is what it asks to be changed, if anything.

    `events`: whether whoever asks wants to see what happens, until the command's outcome or, without a command, for
    ever. `slot` is whose history is asked for, or whose stacks (empty: all), if need be by `force`.
    """

    what: Literal["hello", "status", "scoreboard", "events", "explain", "stacks", "command"]
    command: Command | None = None
    events: bool = False
    slot: str = ""
    force: bool = False


def parse(line: bytes) -> Request:
    """Return the request. Raises MalformedRequest."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise MalformedRequest("the request is not JSON") from None
    if not isinstance(data, dict):
        raise MalformedRequest("the request is no JSON object")
    if data.pop("protocol", None) != PROTOCOL:
        raise MalformedRequest(f"this daemon speaks version {PROTOCOL} of the protocol: say so in `protocol`")
    request = _request(data.pop("request", None), data)
    if data:
        raise MalformedRequest(f"the request has no {str(min(data))[:_LONGEST_NAME]!r}")
    return request


def _request(name: object, data: dict[str, Any]) -> Request:
    """Take what belongs to the request out of `data`."""
    match name:
        case "hello":
            return Request("hello")
        case "status":
            return Request("status")
        case "scoreboard":
            return Request("scoreboard")
        case "events":
            return Request("events", events=_flag(data, "follow"))
        case "explain":
            return Request("explain", slot=_name(data, "slot"))
        case "stacks":
            slot = data.pop("slot", "") if data.get("slot") is None else _name(data, "slot")
            return Request("stacks", slot=slot or "", force=_flag(data, "force"))
    return Request("command", _command(name, data), _flag(data, "events"))


def _command(name: object, data: dict[str, Any]) -> Command:
    match name:
        case "reload":
            return Reload()
        case "replan":
            return Replan()
        case "restart":
            return Restart(_name(data, "slot"))
        case "scale":
            pool = data.pop("pool") if data.get("pool", "") is None else _name(data, "pool")
            return Scale(pool, _size(data))
        case "stop":
            return Stop()
        case "plan":
            of = data.pop("of", None)
            if of == "reload" or of == "replan":
                return Preview(of)
            raise MalformedRequest("`of` is reload or replan")
    raise MalformedRequest(f"there is no request {str(name)[:_LONGEST_NAME]!r}")


def _flag(data: dict[str, Any], name: str) -> bool:
    value = data.pop(name, False)
    if not isinstance(value, bool):
        raise MalformedRequest(f"`{name}` is true or false")
    return value


def _name(data: dict[str, Any], name: str) -> str:
    value = data.pop(name, None)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME:
        raise MalformedRequest(f"`{name}` is a name")
    return value


def _size(data: dict[str, Any]) -> int | None:
    """Return how many; None where the plan's own number shall hold again."""
    size = data.pop("size", "")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 2**31):
        raise MalformedRequest("`size` is a number of workers, or null for the plan's own")
    return size
