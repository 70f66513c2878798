"""The files in the runtime directory that a master notes its daemon in, for the next one.

There are two, written in turn: a master that is killed while it writes leaves the other one whole. Neither is renamed
or removed meanwhile, since the master has the kernel report that of files in this directory. The directory belongs to
the master's user alone, so that no worker of another user can write there: what is read here is believed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from ..._core.kept.snapshot import MalformedSnapshot, Snapshot, from_bytes
from ..._records.plain import NotPlain, made
from ..._wire.places import WORKERS
from .records import KeptDaemon

SECTION = "adoption"
"""The name of the section in the snapshot."""

_MOST = 64 * 1024 * 1024


def write(directory: str, turn: int, data: bytes) -> None:
    """Write a note; `turn` says into which file. Raises OSError."""
    path = f"{directory}/{WORKERS[turn % len(WORKERS)]}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        rest, place = memoryview(data), 0
        while rest:
            written = os.pwrite(descriptor, rest, place)
            rest, place = rest[written:], place + written
        os.ftruncate(descriptor, place)
    finally:
        os.close(descriptor)


def latest(directory: str) -> tuple[Snapshot, KeptDaemon] | None:
    """Return the latest note that is whole; None if there is no file. Raises MalformedSnapshot if none is whole."""
    found, problem = [], None
    for data in _contents(directory):
        try:
            snapshot = from_bytes(data)
            kept: KeptDaemon = made(KeptDaemon, snapshot.sections.get(SECTION))
            found.append((snapshot, kept))
        except MalformedSnapshot as error:
            problem = error
        except NotPlain as error:
            problem = MalformedSnapshot(f"of another version: {error}")
    if not found and problem is not None:
        raise problem
    return max(found, key=lambda each: each[1].number) if found else None


def clear(directory: str) -> None:
    """Remove the files: no next master is to adopt anything."""
    for name in WORKERS:
        with suppress(OSError):
            os.unlink(f"{directory}/{name}")


def _contents(directory: str) -> Iterator[bytes]:
    for name in WORKERS:
        try:
            descriptor = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        with open(descriptor, "rb") as file:
            yield file.read(_MOST)
