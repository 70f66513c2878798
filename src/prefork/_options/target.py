"""The target of `prefork run`: a module and a name in it, or a file."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

from .._errors import SystemFailure, UsageError, did_you_mean
from .._linux.regular_file import read

LOOKED_FOR = ("daemon", "app", "application", "create_app")
"""Names that are tried in a module, in this order, if the target names none."""

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


def find(target: Target) -> Any:
    """Import the target's module, and return the object that the target names.

    Raises UsageError if there is no such module or name, and what the import raises.
    """
    module = _import(target)
    if not target.attribute:
        for name in LOOKED_FOR:
            if hasattr(module, name):
                return getattr(module, name)
        names = ", ".join(LOOKED_FOR[:-1])
        raise UsageError(
            f"the module {target.module} has none of {names} and {LOOKED_FOR[-1]}(): name the one to run, "
            f"as in {target.text}:NAME"
        )
    found = module
    for name in target.attribute.split("."):
        if not hasattr(found, name):
            of = f"the module {target.module}" if found is module else type(found).__name__
            public = [each for each in vars(found) if not each.startswith("_")] if hasattr(found, "__dict__") else []
            usual = [each for each in LOOKED_FOR if each in public][:1]  # `application` is far from `app`, as a word.
            hint = did_you_mean(name, public) or "".join(f": did you mean {each}?" for each in usual)
            raise UsageError(f"{of} has no {name}{hint}")
        found = getattr(found, name)
    return found


def _import(target: Target) -> Any:
    from importlib import import_module

    try:
        module = import_module(target.module)
    except ModuleNotFoundError as error:
        # Only if the target itself is missing; a module that the application imports is its own error.
        if not f"{target.module}.".startswith(f"{error.name}."):
            raise
        raise UsageError(
            f"there is no module {error.name}: neither in {target.folder} nor on sys.path" + _meant(target)
        ) from None
    origin = getattr(module, "__file__", None)
    if target.file is not None and (origin is None or not os.path.samefile(origin, target.file)):
        raise UsageError(f"{target.file} cannot be imported: {target.module} is the name of another module ({origin})")
    return module


def _meant(target: Target) -> str:
    """Return what to append to the error for a target that names no module."""
    parent, _, name = target.module.rpartition(".")
    if hasattr(sys.modules.get(parent), name):  # As Django spells it: shop.wsgi.application.
        return f": did you mean {parent}:{name}?"
    try:
        return did_you_mean(target.module, _importable(target.folder))
    except OSError as error:
        return f"; {target.folder} cannot be read: {error.strerror}"


def _importable(folder: str) -> list[str]:
    """Return the modules in a folder, for suggestions. Raises OSError."""
    found = []
    for entry in os.scandir(folder):
        name = entry.name.removesuffix(".py")
        if name.isidentifier() and (entry.is_dir() or entry.name.endswith(".py")):
            found.append(name)
    return found
