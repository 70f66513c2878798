"""The agent's kind of worker."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from ..._agent.options import AgentOptions
from ..._context import WorkerContext
from ..._options.records import KindOptions, Spawn
from ..._options.table import Settings
from ..._worker.callbacks import registered
from ..._worker.handle import Worker
from ..._worker.metrics.own import own as metrics
from ...daemon import Daemon, Kind

_NICE = 10
"""It yields to the workers where processors are short."""

_DRAIN_TIMEOUT = 5.0
"""Seconds for the answers in flight; event streams end at once."""

_OPEN_FILES = 512
"""More clients than this wait in the queue."""


@dataclass(frozen=True)
class Agent(WorkerContext, kind="agent"):
    """The process that serves metrics, health and the dashboard."""

    id: int
    options: AgentOptions = field(compare=False)


def declare(daemon: Daemon, settings: Settings) -> Agent:
    """Declare the kind, and return its only context."""
    spawns = {kind.options.spawn for kind in daemon.kinds.values()}
    spawn: Spawn = "exec" if spawns == {"exec"} else "fork"
    options = KindOptions(
        spawn=spawn,
        ready="explicit",
        drain_timeout=_DRAIN_TIMEOUT,
        hang_timeout=settings["hang_timeout"],
        nice=_NICE,
        limits={"nofile": (_OPEN_FILES, _OPEN_FILES)},
    )
    daemon.kinds[Agent._kind] = Kind(Agent, _serve, options, auxiliary=True)
    return Agent(0, AgentOptions(**{each.name: settings[each.name] for each in fields(AgentOptions)}))


def _serve(worker: Worker[Any]) -> None:
    registered.own = registered.Registry()  # The application's functions are for workers that serve it.
    metrics.step_aside()
    from ..._agent.serve import serve  # In this process alone.

    serve(worker, worker.context.options)
