"""`prefork systemd`: the units for the daemon of this directory."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import Any

import click

from .._errors import UsageError
from .._launch.served.surroundings import entered, here
from .._linux.address import parse, split
from .._linux.program import THIS_PROGRAM
from .._options.table import OPTIONS, Settings, resolve
from .._options.target import parse as parse_target
from .._options.types import Flag
from ._daemon import errors_as, json_option, print_json
from ._options import SectionedCommand, from_table
from ._say import say
from ._units import Service, service, socket

_PLACE = "/etc/systemd/system"
_PRIVILEGED = 1024
_SPARE = 30.0
"""Seconds more than the daemon's own limits, after which systemd gives up."""
_WRITTEN = ("log_file", "access_log", "pid_file")
"""Options that name a file which the service writes."""


@click.command(cls=SectionedCommand, short_help="Print the units of systemd for this project.")
@click.option("--socket", "with_socket", is_flag=True, help="Print a socket unit too: systemd listens, also meanwhile.")
@click.option("--write", metavar="DIR", help=f"Write the units to a directory such as {_PLACE}; overwrite none.")
@json_option
@from_table
def systemd(given: dict[str, Any], with_socket: bool, write: str | None, as_json: bool) -> None:
    """Print the units that run TARGET, with the options of `prefork run`, as a service of this directory.

    The service runs as --user, or else as the caller; nothing in it needs root.
    """
    with errors_as(as_json):
        directory = os.path.abspath(write) if write is not None else None
        settings = resolve(given, os.environ, entered(given))
        if settings["target"] is None:
            raise UsageError("there is no TARGET, and no prefork.toml names one: name it, as in shop:app")
        name = settings["name"]
        units = {f"{name}.service": service(_service(given, settings, with_socket))}
        if with_socket:
            streams = [_stream(address) for address in settings["bind"]]
            units[f"{name}.socket"] = socket(name, streams, settings["backlog"])
        remarks = list(_remarks(settings, with_socket))
        for remark in () if as_json else remarks:
            say(f"prefork: {remark}", err=True)
        if directory is not None:
            _write(units, directory)
        if as_json:
            print_json({"units": units, "remarks": remarks})
        elif directory is None:
            say("\n".join(f"# {_PLACE}/{unit}\n{text}" for unit, text in units.items()).removesuffix("\n"))


def _service(given: Mapping[str, Any], settings: Settings, with_socket: bool) -> Service:
    """Return the service. Raises UsageError where the sockets could not be told apart."""
    if settings["user"] is not None and "user" not in given:
        raise UsageError(
            f"{settings.source('user')}: the service itself is that user: remove it there, and give --user"
        )
    left_out = {"user", "group", "chdir"} | ({"bind"} if with_socket else set())
    if with_socket and len(settings["bind"]) > 1 and "bind" not in given:
        raise UsageError(f"{settings.source('bind')}: give several addresses by --bind, with --socket")
    arguments = {"target": settings["target"], "name": settings["name"]} | dict(given)
    paths = [os.path.abspath(path) for name in _WRITTEN if (path := settings.values.get(name)) not in (None, "-")]
    ports = [parse(split(address)[0]).port for address in settings["bind"]]
    return Service(
        settings["name"],
        settings["user"] or _caller(),
        here(),
        _program(),
        list(_arguments({name: value for name, value in arguments.items() if name not in left_out})),
        settings["import_timeout"] + settings["warm_timeout"] + settings["start_timeout"] + _SPARE,
        settings["drain_timeout"] + _SPARE,
        list(dict.fromkeys(map(os.path.dirname, paths))),
        not with_socket and any(0 < port < _PRIVILEGED for port in ports),
    )


def _program() -> list[str]:
    """Return the words that start this very prefork."""
    script = os.path.join(os.path.dirname(THIS_PROGRAM.interpreter), "prefork")
    return [script] if os.path.isfile(script) else [THIS_PROGRAM.interpreter, "-m", "prefork"]


def _caller() -> str:
    name = os.environ.get("SUDO_USER", "")
    if name:
        return name
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _arguments(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield the words of options on a command line; the target comes first."""
    for option in OPTIONS:
        value = given.get(option.name)
        if value is None:
            continue
        if option.name == "target":
            yield value
        elif isinstance(option.type, Flag):
            yield option.flag if value else f"--no-{option.flag[2:]}"
        else:
            for each in value if isinstance(value, list) else [value]:
                yield from (option.flag, f"{each:g}" if isinstance(each, float) else str(each))


def _stream(address: str) -> str:
    """Return an address as ListenStream= takes it. Raises UsageError for one that is open already."""
    parsed = parse(split(address)[0])
    match parsed.scheme:
        case "tcp" if parsed.host == "*":
            return str(parsed.port)
        case "tcp":
            host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
            return f"{host}:{parsed.port}"
        case "unix":
            return parsed.text
        case "abstract":
            return f"@{parsed.text}"
    raise UsageError(f"--bind {address}: a socket unit cannot open it")


def _remarks(settings: Settings, with_socket: bool) -> Iterator[str]:
    """Yield what the units cannot say by themselves."""
    target = parse_target(settings["target"], here())
    first = target.module.partition(".")[0]
    if not _is_there(first, [target.folder, *(settings["python_path"] or ())]):
        yield f"no module {first} is in {target.folder}, and none is installed: the service would not start"
    if settings["user"] is None and _caller() == "root":
        yield "the service runs as root: give --user"
    if settings["group"] is not None:
        yield "the unit has the user's own group: add Group= for another"
    for address in settings["bind"]:
        path = parse(split(address)[0]).text if address.startswith("unix:///") else ""
        if path and with_socket and split(address)[1]:
            yield f"{address}: add SocketMode=, SocketUser= and SocketGroup= to the socket unit"
        elif path and not with_socket and not path.startswith(f"/run/prefork/{settings['name']}/"):
            yield f"{path}: the service may not make it: give --socket, or a path in /run/prefork/{settings['name']}"


def _is_there(module: str, folders: list[str]) -> bool:
    """Return whether a module is in one of these folders, or is installed; nothing is imported."""
    try:  # Not PathFinder alone: finders of their own find some packages that are installed to be edited.
        return (PathFinder.find_spec(module, folders) or find_spec(module)) is not None
    except ValueError:  # It is loaded, as `__main__` is.
        return True


def _write(units: Mapping[str, str], directory: str) -> None:
    """Write the units, or none of them. Raises UsageError."""
    paths = {os.path.join(directory, unit): text for unit, text in units.items()}
    if there := [path for path in paths if os.path.lexists(path)]:
        raise UsageError(f"{there[0]} exists and is left as it is: remove it first")
    for path, text in paths.items():
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    say(f"{', '.join(paths)}: written; next: systemctl daemon-reload", err=True)
