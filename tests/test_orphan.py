"""How long a worker of a dead master serves on, by plain calls, and what it does with captured streams."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefork._worker.orphans.captured import Captured
from prefork._worker.orphans.orphan import Patience


def test_grace_counts_only_while_there_is_no_master() -> None:
    patience = Patience(alone=10.0, beside=120.0)
    assert patience.spend(9.9, has_master=False)
    assert patience.spend(100.0, has_master=True)
    assert patience.spend(0.05, has_master=False)
    assert not patience.spend(0.1, has_master=False)


def test_masters_that_never_get_ready_are_waited_for_in_all() -> None:
    patience = Patience(alone=10.0, beside=120.0)
    for _ in range(4):
        assert patience.spend(29.0, has_master=True)
        assert patience.spend(1.0, has_master=False)
    assert not patience.spend(5.0, has_master=True)


FULL = 64 * 1024
"""Bytes that a pipe holds."""


class Streams:
    """Standard output and error of this process as pipes that a master reads, and the streams to use without one."""

    def __init__(self, directory: Path) -> None:
        self.kept = [os.dup(1), os.dup(2)]
        self.paths = [directory / "out", directory / "err"]
        self.instead = [os.open(path, os.O_WRONLY | os.O_CREAT) for path in self.paths]
        self.readers = []
        for number in 1, 2:
            reader, writer = os.pipe()
            os.dup2(writer, number)
            os.close(writer)
            self.readers.append(reader)

    def close(self) -> None:
        for number, descriptor in enumerate(self.kept, 1):
            os.dup2(descriptor, number)
        for descriptor in (*self.kept, *self.instead, *self.readers):
            os.close(descriptor)


@contextmanager
def streams(directory: Path) -> Iterator[Streams]:
    made = Streams(directory)
    try:
        yield made
    finally:
        made.close()


def test_what_the_pipes_hold_and_what_follows_is_kept(tmp_path: Path) -> None:
    with streams(tmp_path) as captive:
        os.write(1, b"before\n")
        captured = Captured(captive.readers, captive.instead)
        captured.release()
        os.write(1, b"after\n")
        os.write(2, b"error\n")
        assert [path.read_bytes() for path in captive.paths] == [b"before\nafter\n", b"error\n"]


def test_children_that_hold_a_pipe_are_copied(tmp_path: Path) -> None:
    with streams(tmp_path) as captive:
        child = os.dup(1)
        captured = Captured(captive.readers, captive.instead)
        captured.release()
        os.write(child, b"a child\n")
        captured.copy()
        os.close(child)
        assert captive.paths[0].read_bytes() == b"a child\n"


def test_stream_without_reader_is_replaced_by_null(tmp_path: Path) -> None:
    with streams(tmp_path) as captive:
        reader, writer = os.pipe()
        os.close(reader)
        Captured(captive.readers, [writer, captive.instead[1]]).release()
        assert os.write(1, b"nothing fails\n") == 14
        os.close(writer)


def test_full_stream_does_not_block_the_copy(tmp_path: Path) -> None:
    with streams(tmp_path) as captive:
        reader, writer = os.pipe()
        os.write(writer, bytes(FULL))
        os.write(1, b"waits\n")
        captured = Captured(captive.readers, [writer, captive.instead[1]])
        captured.release()
        os.read(reader, FULL)
        captured.copy()
        assert os.read(reader, FULL) == b"waits\n"
        os.close(reader)
        os.close(writer)
