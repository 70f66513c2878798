"""Threads that ask in a closed loop while a block runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Asking:
    """Runs `ask` in `count` threads, each with its number; `ask` returns soon after `stopping` is true.

    The end of the block waits for each of them, `patience` seconds at most.
    """

    def __init__(self, ask: Callable[[int], object], count: int, patience: float) -> None:
        self.stopping = False
        self._patience = patience
        self._threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self.stopping = True
        for thread in self._threads:
            thread.join(self._patience)
            assert not thread.is_alive()
