"""A test kit: real servers in tests, with commands, load and checks; and the decisions of a plan on a virtual clock."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checks import assert_fork_safe, plan_of
    from .driving.growth import assert_no_growth
    from .driving.load import Load
    from .failures import DeadlineError, EndedError, StartFailedError
    from .live import live_server
    from .server import Server
    from .simulated.simulation import simulate

__all__ = [
    "DeadlineError",
    "EndedError",
    "Load",
    "Server",
    "StartFailedError",
    "assert_fork_safe",
    "assert_no_growth",
    "live_server",
    "plan_of",
    "simulate",
]

# Imported on access: pytest loads the plugin in every run, whether a test asks for a server or not.
_HOMES = {
    "checks": ["assert_fork_safe", "plan_of"],
    "driving.growth": ["assert_no_growth"],
    "driving.load": ["Load"],
    "failures": ["DeadlineError", "EndedError", "StartFailedError"],
    "live": ["live_server"],
    "server": ["Server"],
    "simulated.simulation": ["simulate"],
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
