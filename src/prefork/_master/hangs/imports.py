"""Imports of the application that do not return: where they are, asked by a signal and noted in the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..._report.reports.import_report import place, still_importing

if TYPE_CHECKING:
    from ..births.processes import Processes
    from ..loop import Master
    from .dumps import Dump, Dumps

_FIRST, _SECOND = 5.0, 25.0
"""Seconds after which the place is noted, and then again whenever it has changed: each time after twice as long."""
_BEFORE_END = 1.0
"""Seconds before the end of `import_timeout` at which the last place is noted, half of the timeout at most."""


class Imports:
    """The molds that import, for the log and for those who ask."""

    def __init__(self, master: Master, dumps: Dumps) -> None:
        self._master = master
        self._dumps = dumps
        self._processes: Processes | None = None
        self._begun: dict[int, float] = {}  # pid -> when
        self._noted: dict[int, list[str]] = {}  # pid -> the place that the log has

    def start(self, generation: int, warm: bool, processes: Processes) -> None:
        """Start the mold of a generation, and watch its import: by one timer, and so one wake-up. Raises OSError."""
        processes.start_mold(generation, warm)
        self._processes = processes
        pid = processes.molds()[generation]
        running = set(processes.molds().values())
        for seen in self._begun, self._noted:
            for ended in seen.keys() - running:
                del seen[ended]
        self._begun[pid] = monotonic()
        self._check_in(_FIRST, generation, pid)

    def resume(self, processes: Processes, begun: Mapping[int, float]) -> None:
        """Go on with the imports that a former program of this master has begun, at these moments by pid."""
        self._processes, self._begun = processes, dict(begun)
        for generation, pid in self._importing().items():
            self._check_in(_FIRST, generation, pid)

    def inspect(self, then: Callable[[list[dict[str, Any]]], None]) -> None:
        """Call `then` with what each importing mold does."""
        molds = list(self._importing().items())
        found: list[dict[str, Any]] = []

        def next_one() -> None:
            if molds:
                generation, pid = molds.pop()
                self._dumps.request(pid, partial(add, generation, pid), force=True)
            else:
                then(found)

        def add(generation: int, pid: int, dump: Dump) -> None:
            text = "\n".join(f"  {line}" for line in place(dump.stacks))
            facts = {"slot": "mold", "pid": pid, "generation": generation, "verdict": "importing", "doing": ""}
            found.append({**facts, "busy_for": round(self._seconds(pid), 3), "text": text})
            next_one()

        next_one()

    def _importing(self) -> dict[int, int]:
        return self._processes.channels.importing() if self._processes is not None else {}

    def _seconds(self, pid: int) -> float:
        return monotonic() - self._begun.get(pid, monotonic())

    def _check_in(self, pause: float, generation: int, pid: int) -> None:
        """Note where the import is in `pause` seconds, or shortly before its end where that comes first."""
        assert self._processes is not None
        timeout = self._processes.import_timeout
        rest = max(timeout - _BEFORE_END, timeout / 2) - self._seconds(pid)
        due = rest if 0 < rest < pause else pause
        self._master.later(due, partial(self._check, generation, pid, max(_SECOND, 2 * due)))

    def _check(self, generation: int, pid: int, pause: float) -> None:
        """Log where the import is, unless the log has this place; look again in `pause` seconds."""

        def dumped(dump: Dump) -> None:
            lines = place(dump.stacks)
            if lines and lines != self._noted.get(pid) and self._importing().get(generation) == pid:
                self._noted[pid] = lines
                self._master.relay.log(still_importing(generation, self._seconds(pid), lines))

        if self._importing().get(generation) == pid:
            self._dumps.request(pid, dumped, force=True)
            self._check_in(pause, generation, pid)
