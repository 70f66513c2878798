"""Sends what has happened in each second to a statsd server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..options import AgentOptions
from ..source import Source
from .datagrams import Datagrams
from .lines import figures, packed


class StatsdSender:
    """A `Sender` of the differences of two readings of the scoreboard."""

    interval = 1.0
    proof = 3
    cost = "the figures of that time are lost"

    def __init__(self, source: Source, options: AgentOptions, status: Mapping[str, Any]) -> None:
        assert options.statsd is not None
        self.subject = f"statsd: {options.statsd}"
        self._source, self._to = source, Datagrams(options.statsd)
        self._prefix, self._tags = options.statsd_prefix or "", options.statsd_tags or ""
        self._apart = frozenset(slot["key"] for slot in status["slots"] if slot["auxiliary"])
        self._before = source.reading()

    def push(self) -> str | None:
        """Send the difference to the last reading."""
        before, self._before = self._before, self._source.reading()
        return self._to.send(packed(figures(before, self._before, self._apart), self._prefix, self._tags))

    def finish(self) -> None:
        """Send the last difference."""
        self.push()
        self._to.close()

    def give_up(self) -> None:
        """Nothing waits here."""
