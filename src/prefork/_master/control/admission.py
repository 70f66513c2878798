"""The group whose members may control the daemon: that of the start, or that of the plan in force."""

from __future__ import annotations

import grp
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from ..._errors import UsageError

if TYPE_CHECKING:
    from ..._core.actions import Action
    from ..._core.events import Event
    from ..._options.records import DaemonOptions
    from .server import Control


class HasOptions(Protocol):
    """A decider that knows the options in force."""

    @property
    def options(self) -> DaemonOptions:
        """The daemon's options."""


def group_id(name: str | None) -> int | None:
    """Return the number of a group; None for no name. Raises UsageError."""
    if name is None:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise UsageError(f"control_group: there is no group {name!r}") from None


class Admission:
    """Opens the control socket to another group when a plan with another one is in force."""

    def __init__(self, control: Control, about: HasOptions, say: Callable[[str], object]) -> None:
        self._control = control
        self._about = about
        self._say = say
        self._group = about.options.control_group

    def noted(self, event: Event, actions: Sequence[Action], now: float) -> None:
        """See `Observer`."""

    def done(self, now: float) -> None:
        """See `Observer`."""
        group = self._about.options.control_group
        if group == self._group:
            return
        self._group = group
        try:
            self._control.admit(group_id(group))
        except (UsageError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            self._say(f"prefork: the control socket cannot be opened to the group {group}: {reason}")
