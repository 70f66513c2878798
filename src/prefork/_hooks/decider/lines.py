"""The lines of a master of the hooks interface about its workers and hooks; repeated ones are folded."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping

from ..._core.actions import Report
from ..._core.events import ProcessExit
from ..._errors import PreforkError
from ..._report.folding import Folding
from ..._report.sentences import ended
from ..._report.units import duration
from .children import Child, How
from .pauses import PATIENCE


def end_of(child: Child, end: ProcessExit, signal_names: Mapping[int, str], up: bool = True) -> str:
    """Return how a child has ended, in words; `up`: it lacked nothing but, perhaps, its context."""
    words = f"{child.key or f'process {end.pid}'}: {ended(end.status, signal_names)}"
    if child.key is None:
        return words
    if child.began is None:
        words += " before it decoded its context"
    elif not up:
        words += " before it called prefork.ready(), as others did"
    return f"{words} (pid {end.pid})"


def error_text(error: BaseException) -> str:
    """Return what a hook has raised: an error of the library in words, any other with its traceback."""
    if isinstance(error, PreforkError):
        return str(error)
    return "raised an exception:\n" + "".join(traceback.format_exception(error))


class HookLines:
    """Makes reports of lines, unless they are only counted.

    Failures are counted when they are slowed down. What waits for seconds before it happens again is counted from the
    third time on: more lines would not come together in one window.
    """

    def __init__(self, signal_names: Mapping[int, str]) -> None:
        self._signal_names = signal_names
        self._often = Folding(burst=PATIENCE + 1)
        self._slowly = Folding(burst=2)
        # Python 3.15 imports what this needs at the first call, which may come when no descriptor is free.
        traceback.format_exception_only(ValueError())

    def ended(self, child: Child, end: ProcessExit, how: How, now: float) -> list[Report]:
        """Report the end of a child, unless it was to be expected, or has been reported."""
        words = end_of(child, end, self._signal_names)
        obeyed = how == "asked" and self._signal_names.get(-(end.status or 0)) in ("SIGTERM", "SIGINT", "SIGKILL")
        expected = child.refused or how == "told" or obeyed
        if expected or (end.status == 0 and how != "early"):
            return []
        folding = self._slowly if how == "early" else self._often
        passes = folding.passes("failed", child.key or "process", words, False, now)
        return [Report(f"prefork: {words}")] if passes else []

    def returned(self, key: str, pid: int, lived: float, now: float) -> list[Report]:
        """Report that a worker has returned at once, and has been started again."""
        text = (
            f"{key}: returned after {duration(lived)} with status 0 (pid {pid}); started again. A worker that is to "
            "run on has to wait in its function, for example in signal.pause()"
        )
        return [Report(f"prefork: {text}")] if self._slowly.passes("returned at once", key, text, True, now) else []

    def killed(self, live: Mapping[int, Child], pids: Iterable[int], why: str) -> list[Report]:
        """Report that children are killed."""
        subjects = [(live[pid].key or "process", pid) for pid in pids]
        return [Report(f"prefork: {subject}: {why}; killing its session (pid {pid})") for subject, pid in subjects]

    def raised(self, hook: str, error: BaseException, now: float) -> list[Report]:
        """Report that a hook has raised."""
        text = error_text(error)
        last = traceback.format_exception_only(error)[-1].strip()
        passes = self._slowly.passes("raised an exception", f"hook {hook}", f"{last}\n{text}", False, now)
        return [Report(f"prefork: hook {hook}: {text}")] if passes else []

    def due(self, now: float, at_once: bool = False) -> list[Report]:
        """Return what was counted, once it is due; `at_once`: all of it now."""
        repeated = [*self._often.due(now, at_once), *self._slowly.due(now, at_once)]
        return [Report(f"prefork: {each.text}") for each in repeated]

    def next_deadline(self) -> float | None:
        """Return when `due` has something to return; None if nothing was counted."""
        deadlines = self._often.next_deadline(), self._slowly.next_deadline()
        return min((each for each in deadlines if each is not None), default=None)
