"""The descriptors that come with a worker's order, by name.

A worker that serves gets the files that the operator has named. An auxiliary worker gets a connection to the control
socket that only reads, and, if it has the master's own user, the runtime directory: there are files that this user may
write anyway.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..._records.members import replace
from ..watching.contents import in_memory

if TYPE_CHECKING:
    from ..._wire.plan_data import Assignable
    from ..births.launches import Launching

    Assignables = Mapping[tuple[str, str], Assignable]

CONTROL, RUNTIME = "control", "runtime"


class Grants:
    """What each worker of one daemon is passed. `directory` returns the runtime directory."""

    connect: Callable[[], int]
    """Returns the client's end of a connection that only reads: the control socket's, which is made later."""

    def __init__(self, launching: Launching, directory: Callable[[], str]) -> None:
        self._files = launching.files
        self._shares_user = launching.interpreter.identity is None
        self._directory = directory

    def planned(self, generation: int, assignables: Assignables) -> Assignables:
        """Return what the entries of a generation's plan get, with the files that were read for it."""
        files = self._files.planned(generation)
        if not files:
            return assignables
        return {name: each if each.auxiliary else replace(each, files=files) for name, each in assignables.items()}

    def names(self, assignable: Assignable) -> tuple[str, ...]:
        """Return the names of the descriptors that `opened` yields."""
        if assignable.auxiliary:
            return (CONTROL, RUNTIME) if self._shares_user else (CONTROL,)
        return tuple(assignable.files)

    @contextmanager
    def opened(self, assignable: Assignable) -> Iterator[list[int]]:
        """Yield the descriptors, and close them. Raises OSError."""
        if not assignable.auxiliary:
            with in_memory(assignable.files) as files:
                yield files
            return
        made = [self.connect()]
        try:
            if self._shares_user:
                made.append(os.open(self._directory(), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
            yield made
        finally:
            for descriptor in made:
                os.close(descriptor)
