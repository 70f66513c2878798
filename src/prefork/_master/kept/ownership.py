"""What makes the master the one of its daemon, kept through an exec: locks, the claim, the roster, the orphans."""

from __future__ import annotations

import _socket
import mmap
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..._records.plain import Descriptor
from ..identity.claim import Claim
from ..identity.lock import Noted
from ..identity.pid_file import PidFile
from ..runtime.orphans import Orphans
from ..runtime.presence import Runtime
from ..runtime.roster import _RECORD, Roster, Survivor, _realm
from .records import KeptRuntime

if TYPE_CHECKING:
    from ..._wire.launch import MasterLaunch


def save(runtime: Runtime, orphans: Orphans, pid_file: PidFile) -> KeptRuntime:
    """Return the locks, which stay with the open files, and who else is recorded."""
    roster, claim = runtime.roster, runtime._claim
    number = pid_file._descriptor
    return KeptRuntime(
        path=runtime.path,
        lock=Descriptor(runtime.descriptor),
        roster=Descriptor(roster._descriptor),
        places=roster._places,
        survivors=roster._survivors,
        free=roster._free,
        size=roster._size,
        lifeline=roster.lifeline,
        orphans=orphans._survivors,
        lifelines=tuple(map(Descriptor, orphans._lifelines)),
        claims=() if claim is None else tuple(map(Descriptor, claim.descriptors())),
        pid_file=None if number < 0 else Descriptor(number),
        pid_path=pid_file._path or "",
    )


def made_runtime(launch: MasterLaunch, kept: KeptRuntime, log: Callable[[str], object]) -> Runtime:
    """Return the runtime directory, whose lock this process has. `log`: see `Roster`."""
    daemon = Noted(launch.name, launch.directory or "")
    runtime = Runtime.__new__(Runtime)
    runtime.path, runtime._daemon, runtime.descriptor = kept.path, daemon, int(kept.lock)
    runtime.roster = _made_roster(kept, log)
    claim = runtime._claim = Claim.__new__(Claim)
    claim._daemon, claim._log = daemon, log
    claim._sockets = [_socket.socket(fileno=number) for number in kept.claims]
    return runtime


class _Roster(Roster):
    """A roster whose file has this master's own processes, too: survivors are those that were found at the start."""

    inherited: Mapping[int, Survivor]

    def survivors(self) -> dict[int, Survivor]:
        """Return the workers of a master that was killed before."""
        return dict(self.inherited)


def _made_roster(kept: KeptRuntime, log: Callable[[str], object]) -> Roster:
    roster = _Roster.__new__(_Roster)
    roster.inherited = kept.orphans
    roster._descriptor, roster._log, roster._realm = int(kept.roster), log, _realm()
    roster._places, roster._survivors = dict(kept.places), dict(kept.survivors)
    roster._free, roster._size, roster.lifeline = list(kept.free), kept.size, kept.lifeline
    size = kept.size * _RECORD.size
    roster._map = mmap.mmap(roster._descriptor, size) if size and os.fstat(kept.roster).st_size >= size else None
    return roster


def restore_pid_file(pid_file: PidFile, kept: KeptRuntime) -> None:
    """Go on with the pid file: the number in it is this process's still."""
    if kept.pid_file is not None:
        pid_file._descriptor, pid_file._path = int(kept.pid_file), kept.pid_path
