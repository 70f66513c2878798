"""What processes write, on its way through the master: marked, whole, bounded, and the last of it kept."""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefork._master.log.capture import Capture
from prefork._master.relay import Relay
from prefork._report.forms import Origin


class Reader:
    """A relay whose output goes into a pipe, and the loop that it runs in."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.relay = Relay(self.selector)
        self._read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.relay.divert(write_end)
        self.capture = Capture(self.relay)
        self._data = b""

    def close(self) -> None:
        self.relay.close()
        self.selector.close()
        os.close(self._read_end)

    def process(self, pid: int, name: str = "web/0") -> tuple[int, int]:
        """Return what a process of this pid writes to: its output, its errors."""
        with self.capture.pipes() as ends:
            self.capture.listen(Origin(name, pid, 1), ends)
            out, err = map(os.dup, ends.write)
        return out, err

    def turn(self) -> bool:
        """Have the loop do what there is to do; tell whether there was anything."""
        events = self.selector.select(0)
        for key, _ in events:
            key.data()
        return bool(events)

    def lines(self) -> list[str]:
        """Return all that comes out, until nothing more is to be done."""
        while True:
            turned = self.turn()
            try:
                data = os.read(self._read_end, 1 << 20)
            except BlockingIOError:
                data = b""
            if not data and not turned:
                return self._data.decode().splitlines()
            self._data += data


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


def write(descriptor: int, *lines: str) -> None:
    os.write(descriptor, "".join(f"{line}\n" for line in lines).encode())


def test_each_line_says_who_wrote_it(reader: Reader) -> None:
    out, err = reader.process(100)
    other, _ = reader.process(101, "mold")
    write(out, "one", "", "two")
    write(err, "three")
    write(other, "four")
    os.write(out, b"not yet whole")
    assert sorted(reader.lines()) == sorted(
        ["web/0 g1 100 | one", "web/0 g1 100 | ", "web/0 g1 100 | two", "web/0 g1 100 | three", "mold g1 101 | four"]
    )


def test_the_last_lines_are_kept_beyond_the_end(reader: Reader) -> None:
    out, err = reader.process(100)
    write(out, *(f"line {number}" for number in range(5000)))
    reader.lines()
    write(err, "Traceback")
    os.write(out, b"cut o")
    for end in (out, err):
        os.close(end)
    reader.relay.ended(100)
    reader.capture.ended(100)
    kept = reader.capture.last_lines(100)
    whole = [line for line in kept if line.startswith("line ")]
    assert whole == [f"line {number}" for number in range(5000 - len(whole), 5000)]
    assert 500 < len(whole) < 1000, "some 8 KB of them"
    assert sorted(set(kept) - set(whole)) == ["Traceback", "cut o"]
    assert reader.capture.last_lines(7) == []


def test_only_so_many_dead_are_remembered(reader: Reader) -> None:
    for pid in range(100, 300):
        for end in reader.process(pid):
            os.write(end, b"x\n")
            os.close(end)
        reader.lines()
        reader.relay.ended(pid)
        reader.capture.ended(pid)
    assert [pid for pid in range(100, 300) if reader.capture.last_lines(pid)] == list(range(300 - 64, 300))
    out, _ = reader.process(299)  # The number is another's now, and the former's end is no reason to forget it.
    write(out, "alive")
    for pid in range(400, 500):
        for end in reader.process(pid):
            os.close(end)
        reader.capture.ended(pid)
    reader.lines()
    assert reader.capture.last_lines(299) == ["alive"]


def test_a_reader_that_stalls_costs_so_much_memory_and_no_more(reader: Reader) -> None:
    """What is lost is counted, and said when there is room again."""
    text = "x" * 10_000
    for number in range(1000):
        reader.relay.log(f"{number} {text}")
    lines = reader.lines()
    assert lines[:3] == [f"{number} {text}" for number in range(3)]
    kept = len(lines) - 1
    assert 400 <= kept <= 450, "4 MB"
    assert lines[-1] == f"log: {1000 - kept} lines lost: the reader was too slow, or the disk full"


def test_long_lines_are_broken(reader: Reader) -> None:
    out, _ = reader.process(100)
    os.set_blocking(out, False)
    left = b"x" * 100_000 + b"\n"
    while left:
        left = left[os.write(out, left) :]
        reader.turn()
    mark = len("web/0 g1 100 | ")
    assert [len(line) - mark for line in reader.lines()] == [65_536, 34_464]


def test_lines_that_a_full_disk_refuses_are_counted(reader: Reader, tmp_path: Path) -> None:
    reader.relay.divert(os.open("/dev/full", os.O_WRONLY))
    for number in range(7):
        reader.relay.log(f"lost {number}")
    log = tmp_path / "log"
    reader.relay.divert(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    reader.relay.log("kept")
    assert log.read_text().splitlines() == ["log: 7 lines lost: the reader was too slow, or the disk full", "kept"]
