"""The agent in each plan: its slot and its listener, where an option asks for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from importlib.util import find_spec
from typing import Any

from ..._errors import UsageError
from ..._linux.address import split
from ..._listener import Listener
from ..._options.agent.metrics import agent_address
from ..._options.table import Settings
from ...daemon import Daemon, Plan

NAME = "agent"
"""Of its kind, and of its listener."""

_NEEDED = {"metrics": ("prometheus_client", "starlette", "uvicorn"), "otel": ("opentelemetry.sdk", "requests")}
"""Extra -> what it installs, as far as the agent imports it."""


def add_agent(daemon: Daemon, settings: Settings) -> None:
    """Have each plan of a daemon contain the agent, if an option asks for it. Raises UsageError where it cannot run."""
    if (found := agent_address(settings.values, settings.sources)) is None:
        return
    _refuse_namesake(daemon.kinds, daemon.listeners)
    _check_installed(settings)
    address, options = split(found)
    listener = Listener(address, **options)
    from .slot import declare  # Here, since its class costs memory.

    context = declare(daemon, settings)
    planned = daemon.plan_function

    def with_agent(*config: Any) -> Any:
        assert planned is not None
        plan = planned(*config)
        if not isinstance(plan, Plan):
            if not isinstance(plan, Iterable):
                return plan  # The mold says what a plan is.
            plan = Plan(plan)
        _refuse_namesake(plan.listeners)
        return Plan([*plan.workers, context], {**plan.listeners, NAME: listener})

    daemon.plan_function = with_agent if planned else None


def _refuse_namesake(*named: Collection[str]) -> None:
    """Raise UsageError where the daemon uses the agent's name itself."""
    if any(NAME in each for each in named):
        what = f"the daemon has a kind of worker, or a listener, called {NAME!r}, as the agent is"
        raise UsageError(f"{what}: rename it, or leave out the options of the agent")


def _check_installed(settings: Settings) -> None:
    for extra, modules in _NEEDED.items():
        wanted = extra == "metrics" or settings["otlp"] is not None
        if wanted and (missing := next((name for name in modules if not _is_installed(name)), None)):
            raise UsageError(f"the agent needs {missing}, which is not installed: pip install 'prefork[{extra}]'")


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # Of the package that it is in.
        return False
