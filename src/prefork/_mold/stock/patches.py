"""Applications that replace the interpreter's own waiting and forking, by gevent or eventlet."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from ..._errors import UsageError

_OURS = ("_linux.", "_mold.", *(f"_worker.{name}" for name in ("newborn", "drain", "orphan", "sharing", "assignment")))
"""Modules that wait, fork and close descriptors for a process as a whole. Those that serve go on as the patch wants."""


def settle() -> None:
    """Let prefork's own modules use what gevent has replaced. Raises UsageError for eventlet.

    gevent closes descriptors later, when its loop runs, and forks and waits with it: a mold has no such loop.
    """
    if any(getattr(sys.modules.get("eventlet.patcher"), "already_patched", {}).values()):
        raise UsageError("eventlet.monkey_patch() leaves nothing to fork and wait with: use threads, asyncio or gevent")
    saved: Mapping[str, Mapping[str, Any]] | None = getattr(sys.modules.get("gevent.monkey"), "saved", None)
    if not saved:
        return
    originals = {id(sys.modules[name]): _original(name, saved[name]) for name in saved if name in sys.modules}
    for name, module in list(sys.modules.items()):
        if name.startswith("prefork.") and f"{name[8:]}.".startswith(_OURS):
            for variable, value in list(vars(module).items()):
                if isinstance(value, ModuleType) and id(value) in originals:
                    setattr(module, variable, originals[id(value)])
    os.register_at_fork(after_in_child=sys.modules["gevent"].reinit)  # As gevent's own fork() does.


def _original(name: str, saved: Mapping[str, Any]) -> ModuleType:
    original = ModuleType(name)
    vars(original).update(vars(sys.modules[name]), **saved)
    return original
