"""What a master that was killed has left for the next one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..._records.record import record

if TYPE_CHECKING:
    from ..._wire.launch import Identity
    from ..listeners.inherited import Given
    from ..runtime.roster import Survivor
    from ..store.content import Stored


class NotAdoptable(Exception):
    """The workers of the master before cannot be adopted; the text says why."""


@record
class Left:
    """What a killed master has left: processes, the store's content, and the sockets that the manager passes anyway.

    `identity`: the user with whose rights a path is bound again.
    """

    survivors: Mapping[int, Survivor]
    stored: Stored
    given: Given
    identity: Identity | None
