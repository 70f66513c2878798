"""Has the service manager hold descriptors for the next master (FileDescriptorStoreMax= of systemd.service(5)).

It holds the sockets, the shared memory, and the files of the runtime directory. Where a killed master's whole control
group is killed with it, connections wait in the sockets' queues, and the next master goes on with them.

All sockets of a port are stored, its shards too. One alone would not do: the kernel chooses among those that are open,
and each client whose connection waits in a shard that is closed is reset. A shard without a worker still gets its share
of new connections; they wait for the next worker of its slot.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from ..._wire import stored
from ..service.sender import Sender, address_in

if TYPE_CHECKING:
    from ..loop import Master


class Store:
    """The store of one daemon."""

    def __init__(self, master: Master, variables: Mapping[str, str], held: Collection[str]) -> None:
        """`variables`: those of the manager; FDSTORE says how many it holds. `held`: the names of what it has."""
        address = address_in(variables)
        number = variables.get("FDSTORE", "")
        self._most = int(number) if number.isascii() and number.isdecimal() else 0
        self._sender = None if address is None else Sender(master, address)
        self._log = master.relay.log
        self._told = False
        self.held = dict.fromkeys(held)
        self._removed: dict[str, None] = {}

    @property
    def is_there(self) -> bool:
        """Whether the manager holds descriptors for this daemon."""
        return self._sender is not None and self._most > 0

    def hold(self, wanted: Mapping[str, int | str]) -> None:
        """Have these held, by name, and nothing else: each a descriptor, or the path of a file."""
        if self._sender is None:
            return
        if len(wanted) > self._most:
            self._tell(len(wanted))
            wanted = {}
        sent: Collection[str] = tuple(self.held)
        if self._sender.lost:  # The manager was away: all is said once more.
            self._sender.lost, sent = False, ()
            self.held |= self._removed
        else:
            self._removed.clear()
        for name in [name for name in self.held if name not in wanted]:
            del self.held[name]
            self._removed[name] = None
            self._sender.send(stored.removing(name))
        for name, what in wanted.items():
            if not self._sender.lost and name not in sent and self._store(self._sender, name, what):
                self.held[name] = None

    def close(self) -> None:
        """Close the socket; what is stored stays."""
        if self._sender is not None:
            self._sender.close()

    def _store(self, sender: Sender, name: str, what: int | str) -> bool:
        try:
            # A copy: the daemon may close its own before there is room for the message.
            copy = os.dup(what) if isinstance(what, int) else os.open(what, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False  # No descriptor is free, or the file was removed and is made again: with the next note.
        sender.send(stored.storing(name), (copy,))
        return True

    def _tell(self, needed: int) -> None:
        if self._most and not self._told:
            self._told = True
            self._log(
                f"service manager: {needed} descriptors are to be stored, and FileDescriptorStoreMax= of the unit "
                f"allows {self._most}; storing none: if this master is killed with its workers, connections are refused"
            )
