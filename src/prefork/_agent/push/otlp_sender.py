"""Sends the agent's metrics, and the daemon's story as spans, to an endpoint of OTLP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..metrics import registry
from ..options import AgentOptions
from ..source import Source
from .otlp import Otlp, interval, resource, traces_wanted
from .telling import Teller
from .traces import Traces


class OtlpSender:
    """A `Sender` of all metrics, cumulative, and of the spans since the last push."""

    proof = 1

    def __init__(self, source: Source, options: AgentOptions, status: Mapping[str, Any]) -> None:
        assert options.otlp is not None
        endpoint = options.otlp.rstrip("/")
        self.interval = interval()
        self.subject = f"otlp: {endpoint}"
        self.cost = f"counters go on, the latest spans wait; the next try follows within {self.interval:g} s"
        slot = next(slot["key"] for slot in status["slots"] if slot["auxiliary"])
        of_daemon = resource(status["name"], slot)
        traces = Traces(of_daemon, f"{status['name']} {status['pid']} {status['started']}")
        self._otlp = Otlp(endpoint, of_daemon, round(status["started"] * 1e9), registry(source).collect, traces)
        self._teller = Teller(source, slot, traces.add) if traces_wanted() else None

    def push(self) -> str | None:
        """Send metrics, and the spans that wait."""
        return self._otlp.push()

    def finish(self) -> None:
        """Send them once more, with what has ended until the agent was asked to drain."""
        if self._teller is not None:
            self._teller.wait()
        self._otlp.push()

    def give_up(self) -> None:
        """End an attempt that waits for the next try."""
        self._otlp.close()
