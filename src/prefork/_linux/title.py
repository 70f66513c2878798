"""The title of a process, as ps and top show it."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from types import ModuleType


def _load() -> ModuleType | None:
    """Return setproctitle's extension module, without the package around it; None where it was not built.

    The package imports logging, which costs a master a megabyte, and each fork the work of making its locks again.
    """
    package = importlib.util.find_spec("setproctitle")
    for folder in (package and package.submodule_search_locations) or ():
        extension = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
        spec = importlib.machinery.FileFinder(folder, extension).find_spec("_setproctitle")
        if spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    return None


_module = _load()


def set_title(title: str) -> None:
    """Show this title for this process from now on, and as the name of its main thread, which has no blank.

    CPython 3.12 and newer take the 20th word of /proc/self/stat for the number of threads. Each blank of the name, a
    word before it, would move that to another value: every fork would warn of threads that there are not.
    """
    if _module is not None:
        _module.setproctitle(title)
        _module.setthreadtitle(title.replace(": ", ":").replace(" ", "-"))


def show(title: str, state: str) -> None:
    """Show a title, in which `{}` is replaced by `state`; an empty one changes nothing."""
    if title:
        set_title(title.replace("{}", state))
