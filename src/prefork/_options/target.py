"""The target of `prefork run`: a module and a name in it, or a file. `_mold.target` imports it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .._errors import SystemFailure, UsageError
from .._linux.regular_file import read

_GENERIC = {"app", "application", "asgi", "main", "server", "src", "wsgi", "__init__", "__main__"}
"""Module names that do not describe the application."""


@dataclass(frozen=True, slots=True)
class Target:
    """The name of a module, and the folder that is searched for it first."""

    text: str
    module: str
    attribute: str
    folder: str
    file: str | None = None


def parse(text: str, directory: str) -> Target:
    """Parse a target, for a program that runs in `directory`.

    Raises UsageError for text that is no target, and SystemFailure for a file that is missing or cannot be read.

    `module`, `module:attribute`, `path/to/file.py` and `path/to/file.py:attribute` are targets; the attribute may be
    dotted, and a factory may be written with its brackets.
    """
    place, colon, attribute = text.partition(":")
    attribute = attribute.removesuffix("()")
    if not place or (colon and not all(part.isidentifier() for part in attribute.split("."))):
        raise UsageError(f"{text!r} is not a target: give MODULE, MODULE:NAME or path/to/file.py")
    if place.endswith(".py") or "/" in place:
        return _of_file(text, os.path.normpath(os.path.join(directory, place)), attribute)
    if not all(place.split(".")):
        raise UsageError(f"{text!r} is not a target: {place!r} is not a module's name")
    return Target(text, place, attribute, directory)


def _of_file(text: str, path: str, attribute: str) -> Target:
    """Return a file as the module that it is; one in a package has the package's name too."""
    if os.path.isdir(path):
        raise UsageError(f"{path} is a directory: name a file in it, or a module")
    try:
        read(path)
    except (FileNotFoundError, NotADirectoryError):
        hint = f": did you mean {path}.py?" * os.path.isfile(f"{path}.py")
        raise SystemFailure(f"there is no file {path}{hint}") from None
    except OSError as error:
        raise SystemFailure(f"{path} cannot be read: {error.strerror}") from None
    folder, name = os.path.split(path)
    parts = [name.removesuffix(".py")]
    if "." in parts[0]:
        raise UsageError(f"{path} cannot be imported: a module's name has no dots in it")
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        parts.insert(0, package)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return Target(text, ".".join(parts), attribute, folder, path)


def daemon_name(text: str, directory: str) -> str:
    """Return the default name of a daemon: the first descriptive part of its target, or the name of its folder.

    Many FastAPI projects are `main:app`, and each is a daemon of its own. Raises UsageError if `text` is no target.
    """
    parts = [part for part in parse(text, directory).module.split(".") if part not in _GENERIC]
    name = parts[0] if parts else os.path.basename(os.path.abspath(directory))
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name).lstrip(".")
    return kept or "daemon"
