"""The processes of a daemon, noted where its next master can find them: in a small mapped file.

A master that is killed leaves workers that serve on for their grace. The next one learns here who they are, and so does
the one after it, for as long as they live. A process is named by its pid and the moment it started (field 22 of
/proc/PID/stat), so that a number that has become another's is not taken for a worker. Writing costs no system call.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable

_RECORD = struct.Struct("=QQ")
_GROWTH = 64


class Roster:
    """One file of records; an empty record is all zeros."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._places: dict[int, int] = {}
        self._free: list[int] = []
        self._size = 0
        self._map: mmap.mmap | None = None
        self.log: Callable[[str], object] | None = None
        """Tells whoever runs the daemon, once, that something cannot be noted; the shell's part."""

    def survivors(self) -> dict[int, int]:
        """Return the pids of former masters' processes that still live, and when each started.

        To be called once, before anything is added. Their records stay: this master may die before they do.
        """
        data = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        records = list(_RECORD.iter_unpack(data[: len(data) - len(data) % _RECORD.size]))
        self._size = len(records)
        found = {}
        for place, (pid, started) in enumerate(records):
            if pid and started_at(pid) == started:
                found[pid] = started
            else:
                self._free.append(place)
        return found

    def add(self, pid: int) -> None:
        """Note a process; where the system has no room for that, say so and go on without."""
        started = started_at(pid)
        if started is None or pid in self._places:
            return
        if (self._map is None or not self._free) and not self._map_with_room():
            return
        place = self._places[pid] = self._free.pop()
        self._write(place, pid, started)

    def remove(self, pid: int) -> None:
        """Strike a process out; one that was never noted is no matter."""
        place = self._places.pop(pid, None)
        if place is not None:
            self._write(place, 0, 0)
            self._free.append(place)

    def close(self) -> None:
        """Let go of the file; what it says stays."""
        self._map = None
        os.close(self._descriptor)

    def _map_with_room(self) -> bool:
        size = self._size if self._free else self._size + _GROWTH
        try:
            # Not ftruncate: to write through a mapping to what a full file system has no block for is a SIGBUS.
            os.posix_fallocate(self._descriptor, 0, size * _RECORD.size)
            self._map = mmap.mmap(self._descriptor, size * _RECORD.size)
        except OSError as error:
            self._log_failure(error)
            return False
        self._free += range(size - 1, self._size - 1, -1)
        self._size = size
        return True

    def _log_failure(self, error: OSError) -> None:
        if self.log is not None:
            self.log(f"prefork: if this master dies, the next one will not know of new processes: {error.strerror}")
            self.log = None

    def _write(self, place: int, pid: int, started: int) -> None:
        assert self._map is not None
        _RECORD.pack_into(self._map, place * _RECORD.size, pid, started)


def started_at(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the machine did; None where there is none (or a zombie)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:  # It is gone; or no descriptor is free: then a next master will not know of it.
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
