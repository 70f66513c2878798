"""What a mold needs of the application: the three calls that the API of a `Daemon` answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .assignment import Assignment
    from .wire import Json


class Application(Protocol):
    """The application as the mold sees it; what a method raises is told as the application's own failure."""

    def plan(self, settings: Json) -> Json:
        """Read the configuration and compute the plan, as plain data: when it is loaded, and for each replan."""

    def before_fork(self) -> None:
        """Close what must not be shared with workers. Called in the mold after each computed plan."""

    def rehearsal(self, key: str, context: Json) -> Callable[[Assignment], None]:
        """A function that takes a worker's steps but for the application's own.

        Called in the mold after each computed plan, several times, instead of `worker`: there is no such key or
        context, and the assignment is nobody's. Its one listener has one connection waiting.
        """

    def worker(self, key: str, context: Json) -> Callable[[Assignment], None]:
        """The function of the worker `key`, given its encoded context. Called in the worker."""
