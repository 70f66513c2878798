"""The agent in each plan: its slot and its listener, where an option asks for it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from ..._errors import UsageError
from ..._linux.address import parse, split
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
    if NAME in daemon.kinds or NAME in daemon.listeners:
        raise UsageError(f"the daemon has a kind of worker, or a listener, called {NAME}: rename it, or leave out the "
                         "options of the agent")  # fmt: skip
    _check_installed(settings)
    address, path_options = split(found)
    if parse(address).scheme == "udp":
        raise UsageError(f"{settings.source('metrics')}: HTTP needs connections: give HOST:PORT or unix:/PATH")
    from .slot import declare  # Here, since its class costs memory.

    context = declare(daemon, settings)
    planned = daemon.plan_function

    def with_agent(*config: Any) -> Plan:
        assert planned is not None
        plan = planned(*config)
        if not isinstance(plan, Plan):
            plan = Plan(plan)
        return Plan([*plan.workers, context], {**plan.listeners, NAME: Listener(address, **path_options)})

    daemon.plan_function = with_agent if planned else None


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
