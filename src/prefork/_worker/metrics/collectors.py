"""Custom collectors of the application: what is measured once for all workers, by the agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..._errors import UsageError

T = TypeVar("T")

collectors: list[Callable[[], Any]] = []
"""Functions that return or yield metric families of prometheus_client."""


def collector(given: T) -> T:
    """Have the agent collect metrics that are the same for all workers, such as the length of a queue; return `given`.

    For use as a decorator, too. A function without arguments returns or yields families of prometheus_client, an object
    has such a method `collect`, and of a class one object is made. It is called at each scrape of the agent, and never
    in a worker. Raises UsageError for anything else.
    """
    made: Any = given() if isinstance(given, type) else given
    function = getattr(made, "collect", made)
    if not callable(function):
        raise UsageError(f"collector({given!r}): not a function, and without a method collect()")
    collectors.append(function)
    return given
