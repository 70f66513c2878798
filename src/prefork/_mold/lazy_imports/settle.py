"""Lazy imports (PEP 810, Python 3.15), done in the mold: workers share them, and a broken module fails there."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from itertools import islice
from types import ModuleType

from ..._options.records import LazyImports
from ..stock.origins import is_application

_LAZY: type | None = getattr(types, "LazyImportType", None)
_MOST_NAMED = 10


def settle(mode: LazyImports) -> list[str]:
    """Import what modules import lazily, and what that brings; return what the log is to have of what stays lazy.

    `keep` imports nothing. Modules are complete by now, so that cycles of imports are no trouble. Raises what a lazy
    import of the application raises. A library may have some of what is not installed, and use none: they stay lazy.
    """
    if _LAZY is None:
        return []
    stays = sorted(f"{module}.{name}" for module, name in (_resolve() if mode == "resolve" else _names()))
    ours = [each for each in stays if each.partition(".")[0] not in sys.stdlib_module_names]
    if not ours:
        return []
    more = f" and {len(ours) - _MOST_NAMED} more" if len(ours) > _MOST_NAMED else ""
    named = ", ".join(islice(ours, _MOST_NAMED))
    why = "--lazy-imports keep" if mode == "keep" else "their import fails"
    return [f"{named}{more}: lazy imports stay lazy ({why}); each worker imports them at their first use"]


def _resolve() -> list[tuple[str, str]]:
    """Import all lazy names of all modules; return those that stay lazy."""
    tried: set[tuple[str, str]] = set()
    failed = []
    while left := [each for each in _names() if each not in tried]:
        for module, name in left:
            tried.add((module, name))
            try:
                getattr(sys.modules.get(module), name)
            except Exception as error:
                if _is_of_the_application(module, error):
                    raise
                failed.append((module, name))
    return failed


def _names() -> Iterator[tuple[str, str]]:
    """Return each name that is lazy: of a module's variables, and submodules that only a loaded package has."""
    for key, module in list(sys.modules.items()):
        if issubclass(type(module), ModuleType):  # No isinstance(), which runs the code of a proxy.
            yield from ((key, name) for name, value in list(vars(module).items()) if type(value) is _LAZY)
    for path in sorted(sys.lazy_modules):  # type: ignore[attr-defined]
        package, _, name = path.rpartition(".")
        if path not in sys.modules and package in sys.modules and name not in vars(sys.modules[package]):
            yield package, name


def _is_of_the_application(module: str, error: Exception) -> bool:
    """Return whether this was a lazy import of the application: its module has the name, or its line is the cause."""
    trace = None if error.__cause__ is None else error.__cause__.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    line = None if trace is None else trace.tb_frame.f_code.co_filename
    return is_application(getattr(sys.modules.get(module), "__file__", None)) or is_application(line)
