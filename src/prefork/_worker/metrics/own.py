"""Where this process counts its application metrics, and the hook that begins it when prometheus_client is imported.

The application imports prometheus_client, or does not: here nothing does, and a process that has no use for it has only
this module. The hook is in the mold, before the application's import; workers that import by themselves inherit it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .. import activity, newborn

if TYPE_CHECKING:
    from ..._wire.scoreboard import Scoreboard
    from .counting import Counting

MODULE, VALUES = "prometheus_client.metrics", "prometheus_client.values"
"""The module that makes all metrics: when it has been executed, there is none yet. It has imported the other one."""
VARIABLES = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")
_LEFT_ALONE = (
    "{0} is set: application metrics are left to prometheus_client's files; without the variable prefork counts them "
    "over all workers, and needs no directory"
)


class Own:
    """This process: its arena's descriptor (-1: none), its generation, the scoreboard whose rows are the columns."""

    def __init__(self) -> None:
        self.descriptor = -1
        self.generation = 0
        self.alone = False
        self.board: Scoreboard | None = None
        self.counting: Counting | None = None
        self.notes: list[str] = []

    def begin(self, descriptor: int, generation: int, alone: bool, board: Scoreboard, notes: list[str]) -> None:
        """Count from now on as the mold of a generation; what the log is to have of it is added to `notes`, later."""
        self.descriptor, self.generation, self.alone, self.board = descriptor, generation, alone, board
        self.notes = notes
        if MODULE in sys.modules:  # By what runs at the interpreter's start; metrics that it has made stay its own.
            self._imported(sys.modules[MODULE])
        else:
            sys.meta_path.insert(0, Hook(self._imported))

    def before_fork(self) -> None:
        """Read here what workers have added, so that their successors share it."""
        if self.counting is not None:
            self.counting.catch_up()

    def step_aside(self) -> None:
        """Count nowhere from now on: this process does none of the application's work."""
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Hook)]
        if self.counting is not None:
            from . import values

            client: Any = sys.modules[VALUES]
            client.ValueClass = values.others
            self.counting.retire()

    def _imported(self, metrics: ModuleType) -> None:
        """Have all metrics made from here on count into the arena."""
        for variable in VARIABLES:
            if variable in os.environ:
                self.notes.append(_LEFT_ALONE.format(variable))
                return
        from . import counting, exposition, values

        client: Any = sys.modules[VALUES]
        assert self.board is not None
        try:
            made = counting.Counting(self.descriptor, self.generation, self.alone, self.board)
            values.counting = self.counting = made
            values.others = client.MutexValue
            exposition.install(metrics, made)
        except (OSError, ValueError, AttributeError) as error:
            self.notes.append(f"application metrics: each worker counts by itself ({error})")
            self.counting = None
            return
        client.ValueClass = values.make
        counting.leave_at_fork(made)
        newborn.on_order = made.take
        if (row := activity.own_row()) is not None:  # The application imports it in a worker.
            made.take(row)


own = Own()
"""This process."""


class Hook:
    """Calls `imported` with the module MODULE when it has been executed, once; a finder of sys.meta_path."""

    def __init__(self, imported: Callable[[ModuleType], None]) -> None:
        self._imported = imported
        self._loader: Any = None

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec that other finders have for the module, with this as its loader."""
        if name != MODULE:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and hasattr(spec.loader, "exec_module"):
                self._loader, spec.loader = spec.loader, self  # type: ignore[assignment]
            if spec is not None:
                return spec
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return what the real loader makes."""
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module by its real loader, which it keeps."""
        sys.meta_path.remove(self)
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._imported(module)
