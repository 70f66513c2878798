"""The agent's activity: its requests are not the service's, and are in no total of the scoreboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._worker.activity import Activity


class Uncounted(Activity):
    """Reports that the agent is alive, and its connections, and counts no request."""

    __slots__ = ()  # So that an activity can become one.

    def begin(self, label: str) -> float:
        """Count nothing."""
        return 0.0

    def end(self, failed: bool = False, status: int = 0, begun: float | None = None, sent: int = 0) -> float:
        """Count nothing."""
        return 0.0

    def received(self, size: int) -> None:
        """Count nothing."""

    def receiving(self, on_body: Callable[[Any, bytes], object]) -> Callable[[Any, bytes], object]:
        """Count nothing."""
        return on_body

    def held(self, seconds: float) -> None:
        """Count nothing."""

    def _count(self, word: int, more: int) -> None:
        """Count nothing."""
