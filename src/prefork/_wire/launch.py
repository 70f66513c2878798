"""The launch of a master: what the process that becomes a daemon's master passes to the master's program.

It travels as JSON in a sealed memfd, through one exec of the same process.
"""

from __future__ import annotations

import json
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from .._errors import UsageError
from .._options.records import DaemonOptions, checked
from .._records.members import asdict, field, hints, is_record
from .._records.record import record, record_by_name


@record
class Identity:
    """The numeric user, group and supplementary groups that a process is to have."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@record
class Sockets:
    """The listening sockets that the process was started with: all numbers, and those of socket activation by name."""

    numbers: tuple[int, ...] = ()
    names: dict[str, tuple[int, ...]] = field(default_factory=dict)


@record
class Greeting:
    """The style of the start's messages, and when the command was started (monotonic clock)."""

    style: Literal["line", "plain", "colour"]
    started: float


@record_by_name
class MasterLaunch:
    """One daemon's name, program and options.

    `target` is what a mold runs (see `_mold.load`), and `runs` the same as it was typed; `command` is the interpreter
    with its options. `fixed` names the options that the operator gave, which the daemon's code cannot change;
    `addresses` are those that the operator gave, which are opened with the master's own rights. `manager` has the
    variables of a service manager. `libraries` is the folder of setproctitle. `sources` are the folders in which a
    changed Python file means a reload. `variables` are those that the operator gives to the application, and not to the
    master. `identity` is that of the application, None for the master's own;
    with `new_privileges` it may gain others by executing a program that has them (no_new_privs of prctl(2)).
    `named_in` is the file that has named the `addresses`, if one has.
    `relied_on` are files that have set options for which root is needed, and the names of these. `code` are folders and
    files whose code the starting command has run, or would have. `files` has paths by option: the master reads them
    for the workers. `place` stands for the program
    (`_linux.program.Program.place`). `stored`: descriptors from a service manager's store, by name (`stored`).
    """

    name: str
    target: dict[str, Any]
    command: tuple[str, ...]
    argv: tuple[str, ...]
    directory: str | None
    environ: dict[str, str]
    place: str = ""
    runs: str = ""
    options: DaemonOptions = field(default_factory=DaemonOptions)
    fixed: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    named_in: str | None = None
    sockets: Sockets = field(default_factory=Sockets)
    manager: dict[str, str] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)
    libraries: str = ""
    sources: tuple[str, ...] = ()
    identity: Identity | None = None
    new_privileges: bool = False
    greeting: Greeting | None = None
    relied_on: dict[str, str] = field(default_factory=dict)
    code: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def encode(launch: MasterLaunch) -> bytes:
    """Return the launch as JSON."""
    return json.dumps(asdict(launch)).encode()


def decode(data: bytes) -> MasterLaunch:
    """Return the launch. Raises ValueError for anything that `encode` does not write."""
    launch: MasterLaunch = _read(MasterLaunch, json.loads(data), "the launch")
    return launch


def _read(shape: Any, value: Any, what: str) -> Any:
    """Return a value of this type, made of what JSON has of it. Raises ValueError."""
    origin, arguments = get_origin(shape), get_args(shape)
    if shape is Any or (origin is UnionType and value is None):
        return value
    if origin is UnionType:
        return _read(arguments[0], value, what)
    if origin is tuple and isinstance(value, list):
        return tuple(_read(arguments[0], each, what) for each in value)
    if origin is dict and isinstance(value, dict):
        return {name: _read(arguments[1], each, what) for name, each in value.items()}
    if origin is Literal and value in arguments:
        return value
    if is_record(shape) and isinstance(value, dict):
        return _read_record(shape, value, what)
    if isinstance(shape, type) and type(value) is shape:
        return value
    raise ValueError(f"{what} is not {shape}")


def _read_record(shape: Any, value: dict[str, Any], what: str) -> Any:
    if shape is DaemonOptions:
        try:
            return checked(DaemonOptions, value)
        except UsageError as error:
            raise ValueError(str(error)) from None
    types = hints(shape)
    if types.keys() != value.keys():
        raise ValueError(f"{what} has other fields: {', '.join(sorted(types.keys() ^ value.keys()))}")
    return shape(**{name: _read(types[name], value[name], name) for name in types})
