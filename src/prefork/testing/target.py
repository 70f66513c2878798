"""The target of a server in a test, as `prefork run` has it: workers import it by a name."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .._errors import UsageError

if TYPE_CHECKING:
    from ..daemon import Daemon


def target_of(given: object) -> str:
    """Return the target for an application: a text as it is, and for an object the module and the name that have it.

    A function or a class is found by its own name, any other object by looking for it in the modules that are imported.
    Raises UsageError where no module has it.
    """
    if isinstance(given, str):
        return given
    for module, name in _places(given):
        if (where := _importable(module)) is not None:
            return f"{where}:{name}"
    name = getattr(given, "__qualname__", None) or f"this {type(given).__name__}"
    inside = " is defined inside a function: it" if "<locals>" in name else ""
    raise UsageError(
        f"{name}{inside} is in no module under a name, and workers import their application by name. Assign it to a "
        "variable of a module and give 'module:name', or give a function of a module, without arguments, that makes it"
    )


def listeners_of(given: object) -> dict[str, str]:
    """Return the listeners that a server needs, by name: tcp, udp or unix. Of a `Daemon` object those that it names."""
    daemon_module = sys.modules.get("prefork.daemon")
    if daemon_module is not None and isinstance(given, daemon_module.Daemon):
        daemon: Daemon = given
        return {name: each.address.partition(":")[0] for name, each in daemon.listeners.items()} or {"http": "tcp"}
    return {"http": "tcp"}


def search_path() -> list[str]:
    """Return the folders where this process finds modules and a new interpreter would not look."""
    usual = {os.path.realpath(path) for path in sysconfig.get_paths().values()}
    usual |= {os.path.join(path, "lib-dynload") for path in usual}
    folders = [os.path.abspath(path) for path in sys.path if isinstance(path, str)]  # Empty: the current one.
    found = [path for path in folders if os.path.isdir(path) and os.path.realpath(path) not in usual]
    return list(dict.fromkeys(found))


def _places(given: object) -> Iterator[tuple[ModuleType, str]]:
    """Yield the modules that have the object, with its name there; those of tests last."""
    own, name = getattr(given, "__module__", None), getattr(given, "__qualname__", None)
    module = sys.modules.get(own) if isinstance(own, str) else None
    if module is not None and isinstance(name, str) and _named(module, name) is given:
        yield module, name
    # The module that makes it was begun after the one that imports it from there; so the latest come first.
    modules = [module for module in reversed(sys.modules.values()) if isinstance(module, ModuleType)]
    for module in sorted(modules, key=_is_of_tests):
        for name, value in list(vars(module).items()):
            if value is given and name.isidentifier():
                yield module, name


def _named(module: ModuleType, name: str) -> object:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)  # `<locals>` is no attribute.
    return found


def _is_of_tests(module: ModuleType) -> bool:
    name = module.__name__.rpartition(".")[2]
    return name.startswith("test_") or name.endswith("_test") or name in ("conftest", "__main__")


def _importable(module: ModuleType) -> str | None:
    """Return how a new process imports a module: by its name, or by its file where the name leads elsewhere."""
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py"):
        return None
    # pytest gives tests names of its own where it runs with --import-mode=importlib, and a program is `__main__`.
    return module.__name__ if _on_path(module.__name__, file) else os.path.abspath(file)


def _on_path(name: str, file: str) -> bool:
    """Return whether a folder of sys.path leads to this file by this name."""
    below = os.path.join(*name.split("."))
    tails = (f"{below}.py", os.path.join(below, "__init__.py"))
    return any(os.path.abspath(os.path.join(folder, tail)) == file for folder in sys.path for tail in tails)
