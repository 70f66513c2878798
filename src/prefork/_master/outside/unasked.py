"""Profiles that are taken by themselves, and kept beside the crash reports."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from ..._core.profiling.slowness import Due, Slowness
from ..._wire.places import PROFILES, numbers_in
from ..control.view import Refused
from .profiles import Sampling

if TYPE_CHECKING:
    from ..hangs.watch import Hangs
    from ..loop import Master
    from .profiles import Profiles

KEPT = 10
"""Profiles that are kept."""

LARGEST = 2 << 20
"""Bytes of one, at most: the reader has the workers' user, and so has no more room than this."""


class Unasked:
    """Looks at busy workers while there are any, and has the slow ones profiled."""

    def __init__(
        self, master: Master, profiles: Profiles, hangs: Hangs, directory: Callable[[], str], slowness: Slowness
    ) -> None:
        """`directory` returns the runtime directory."""
        self._master = master
        self._profiles = profiles
        self._hangs = hangs
        self._directory = directory
        self._slowness = slowness
        self._looks = False
        if slowness.wanted:
            hangs.woken = self._begin

    def _begin(self) -> None:
        if not self._looks:
            self._looks = True
            self._later()

    def _later(self) -> None:
        pause = self._slowness.pause(self._hangs.patiences())
        self._looks = pause > 0 and self._hangs.watching
        if self._looks:
            self._master.later(pause, self._look)

    def _look(self) -> None:
        now = monotonic()
        if (due := self._slowness.due(self._hangs.standing(now), now)) is not None:
            self._take(due)
        self._later()

    def _take(self, due: Due) -> None:
        key = self._hangs.key_of(due.pid)
        try:
            number, output = self._opened()
        except OSError as error:
            self._master.relay.log(f"{key}: no profile kept: {error.strerror}")
            return
        try:
            self._profiles.write({key: due.pid}, Sampling(due.seconds), output, LARGEST)
        except Refused as error:
            self._master.relay.log(f"{key}: no profile taken: {error}")
            return
        finally:
            os.close(output)
        how = f"for {due.seconds:g} s; `prefork profile --kept {number}` shows it"
        self._master.relay.log(f"{key}: no progress for {due.stood:.1f} s (pid {due.pid}); taking a profile {how}")

    def _opened(self) -> tuple[int, int]:
        """Return the number and the descriptor of a new file; the oldest ones are removed."""
        directory = f"{self._directory()}/{PROFILES}"
        os.makedirs(directory, mode=0o700, exist_ok=True)
        numbers = sorted(numbers_in(directory))
        for number in numbers[: len(numbers) - KEPT + 1]:
            with suppress(FileNotFoundError):  # A sweeper was here.
                os.unlink(f"{directory}/{number}.json")
        number = numbers[-1] + 1 if numbers else 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        return number, os.open(f"{directory}/{number}.json", flags, 0o600)
