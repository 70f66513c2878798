"""Import the target of `prefork run`, and find in it the object to run."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

from ..._errors import UsageError, did_you_mean
from ..._options.target import Target

LOOKED_FOR = ("daemon", "app", "application", "create_app")
"""Names that are tried in a module, in this order, if the target names none."""


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
            f"{_named(module, target)} has none of {names} and {LOOKED_FOR[-1]}(): name the one to run, "
            f"as in {target.text}:NAME"
        )
    found = module
    for name in target.attribute.split("."):
        if not hasattr(found, name):
            of = _named(module, target) if found is module else type(found).__name__
            public = [each for each in vars(found) if not each.startswith("_")] if hasattr(found, "__dict__") else []
            usual = [each for each in LOOKED_FOR if each in public][:1]  # `application` is far from `app`, as a word.
            hint = did_you_mean(name, public) or "".join(f": did you mean {each}?" for each in usual)
            raise UsageError(f"{of} has no {name}{hint}")
        found = getattr(found, name)
    return found


def _named(module: ModuleType, target: Target) -> str:
    """Return what an error calls a module: one that is not in the program's folder has its file."""
    file = getattr(module, "__file__", None)
    elsewhere = "" if file and file.startswith(os.path.join(target.folder, "")) else f" ({file or 'built in'})"
    return f"the module {target.module}{elsewhere}"


def _import(target: Target) -> ModuleType:
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
