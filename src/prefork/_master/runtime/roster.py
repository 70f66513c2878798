"""The roster: a small mapped file of processes, for the next master.

A killed master leaves workers that serve for their grace. The next master finds them here, and so does the one after
it, until they end. A record is a pid, the time that the process started (field 22 of /proc/PID/stat), so that a reused
pid is not mistaken for a worker, how long its drain may last, the number of its lifeline's pipe, and the boot and pid
namespace in which pid and time mean that process: the directory may be on a volume that outlives both. Writing a record
costs no system call.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Collection
from contextlib import suppress

from ..._linux.proc_stat import started_at
from ..._records.record import record

_RECORD = struct.Struct("=QQdQQ")
_DRAIN_TIMEOUT = struct.Struct("=d"), 16  # its place in a record
_GROWTH = 64

_SHORT = 1.0
"""Seconds in which a process without an order ends."""


@record
class Survivor:
    """A process of a previous master: its start in clock ticks since boot, and how many seconds its drain may last.

    `lifeline`: the number of the pipe by which it knows of a master.
    """

    started: int
    drain_timeout: float
    lifeline: int


class Roster:
    """One file of records; an empty record is zero."""

    def __init__(self, path: str, log: Callable[[str], object] | None = None) -> None:
        """`log` writes, once, that a process cannot be recorded."""
        self._descriptor = _opened(path)
        self._places: dict[int, int] = {}
        self._survivors: dict[int, int] = {}
        self._free: list[int] = []
        self._found: dict[int, Survivor] | None = None
        self._size = 0
        self._map: mmap.mmap | None = None
        self._log = log
        self._realm = _realm()
        self.lifeline = 0
        """The number of this master's own pipe, for the records that are added."""

    def survivors(self) -> dict[int, Survivor]:
        """Return the processes of previous masters that still run, by pid, but for those that were adopted.

        To be called before `add`. Their records stay, since this master may die before they do.
        """
        if self._found is None:
            self._found = self._read()
        return dict(self._found)

    def adopt(self, pids: Collection[int]) -> None:
        """Make these processes of previous masters, which `survivors` has returned, those of this one."""
        for pid in pids:
            self._places[pid] = self._survivors.pop(pid)
            assert self._found is not None
            del self._found[pid]
        self._map_with_room()

    def _read(self) -> dict[int, Survivor]:
        data = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        records = list(_RECORD.iter_unpack(data[: len(data) - len(data) % _RECORD.size]))
        self._size = len(records)
        found = {}
        for place, (pid, started, drain_timeout, lifeline, realm) in enumerate(records):
            if pid and realm == self._realm and pid not in found and started_at(pid) == started:
                found[pid] = Survivor(started, max(_SHORT, drain_timeout), lifeline)
                self._survivors[pid] = place
            else:
                self._free.append(place)
        return found

    def add(self, pid: int) -> None:
        """Record a process; if there is no room for it, log that once and go on without."""
        started = started_at(pid)  # None, too, if no descriptor is free: then the next master will not know of it.
        if started is None or pid in self._places:
            return
        if (self._map is None or not self._free) and not self._map_with_room():
            return
        place = self._places[pid] = self._free.pop()
        self._write(place, _RECORD.pack(pid, started, _SHORT, self.lifeline, self._realm))

    def ordered(self, pid: int, drain_timeout: float) -> None:
        """Note that a process is a worker, and how many seconds its drain may last."""
        if self._map is not None and (place := self._places.get(pid)) is not None:
            field, offset = _DRAIN_TIMEOUT
            field.pack_into(self._map, place * _RECORD.size + offset, drain_timeout)

    def remove(self, pid: int) -> None:
        """Remove a process; one that was never recorded is ignored."""
        self._clear(self._places.pop(pid, None))

    def survivor_ended(self, pid: int) -> None:
        """Remove a process of a previous master."""
        self._clear(self._survivors.pop(pid, None))

    def _clear(self, place: int | None) -> None:
        if place is not None:
            self._write(place, bytes(_RECORD.size))
            self._free.append(place)

    @property
    def is_there(self) -> bool:
        """Whether the file was not removed."""
        return os.fstat(self._descriptor).st_nlink > 0

    def move(self, path: str) -> None:
        """Write all records to another file, and go on there. Raises OSError."""
        descriptor = _opened(path)
        size = self._size * _RECORD.size
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, os.pread(self._descriptor, size, 0), 0)
        if self._map is not None:
            self._map = mmap.mmap(descriptor, size)
        os.close(self._descriptor)
        self._descriptor = descriptor

    def close(self) -> None:
        """Close the file; its records stay."""
        self._map = None
        os.close(self._descriptor)

    def _map_with_room(self) -> bool:
        size = self._size if self._free else self._size + _GROWTH
        try:
            # Not ftruncate: a write through the mapping where a full file system has no block is a SIGBUS.
            os.posix_fallocate(self._descriptor, 0, size * _RECORD.size)
            self._map = mmap.mmap(self._descriptor, size * _RECORD.size)
        except OSError as error:
            self._log_failure(error)
            return False
        self._free += range(size - 1, self._size - 1, -1)
        self._size = size
        return True

    def _log_failure(self, error: OSError) -> None:
        if self._log is not None:
            self._log(f"roster: cannot record new processes: {error.strerror}; the next master would not find them")
            self._log = None

    def _write(self, place: int, record: bytes) -> None:
        start = place * _RECORD.size
        if self._map is None:  # Only a survivor has ended so far.
            os.pwrite(self._descriptor, record, start)
        else:
            self._map[start : start + _RECORD.size] = record


def _realm() -> int:
    """Return a number for this boot and this pid namespace; what cannot be read of it is left out."""
    number = 0
    with suppress(OSError):
        number = os.stat("/proc/self/ns/pid").st_ino
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            number ^= int(file.read(18).replace("-", ""), 16)
    return number


def _opened(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
