"""Real processes for tests: started, listened to, signalled and ended for certain. Every wait has an end."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import re
import select
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from time import monotonic, sleep, time_ns
from typing import IO, Any, TypeVar

import pytest

PATIENCE = 30.0
"""Seconds that anything may take here; what takes so long has failed, whatever else runs on the machine."""

PROOF = bool(os.environ.get("TEST_OF_PREFORK_PROOF"))
"""Whether `make proof` asks: what draws inputs, or tries orders, then takes all of them."""

T = TypeVar("T")

_MARKER = "TEST_OF_PREFORK"
_numbers = itertools.count()


class Lines:
    """What a process has written to one stream, cut into lines."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._looked_at = 0
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.all += [line.decode(errors="replace").rstrip("\r") for line in lines]

    def next(self) -> str | None:
        """Return the next line that has not been read yet; None when there is none so far."""
        if self._looked_at == len(self.all):
            return None
        self._looked_at += 1
        return self.all[self._looked_at - 1]


@contextlib.contextmanager
def journal(streams: dict[str, Any], environment: dict[str, str]) -> Iterator[IO[bytes] | None]:
    """Be the journal of a service manager for the standard error that is a pipe: then no line of it has a time."""
    if streams["stderr"] is not subprocess.PIPE:
        yield None
        return
    reader, writer = os.pipe()
    status = os.fstat(writer)
    environment.setdefault("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    streams["stderr"] = writer
    try:
        yield os.fdopen(reader, "rb", buffering=0)
    finally:
        os.close(writer)


class Running:
    """A process that a test has started, in a session of its own, and all that came of it."""

    def __init__(self, command: Sequence[str | Path], **options: Any) -> None:
        self.marker = f"{os.getpid()}-{next(_numbers)}"
        environment = {**os.environ, **options.pop("env", {}), _MARKER: self.marker}
        environment.pop("PYTHONUNBUFFERED", None)  # Who has not set it is to see lines when they are printed, too.
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        with journal(streams, environment) as errors:
            self._process = subprocess.Popen(command, env=environment, start_new_session=True, **streams)
        self._errors = errors
        self.pid = self._process.pid
        self.status: int | None = None
        self._selector = selectors.DefaultSelector()
        self._lines = {"out": Lines(), "err": Lines()}
        self._pidfd = os.pidfd_open(self.pid)
        self._selector.register(self._pidfd, selectors.EVENT_READ, self._ended)
        for name, stream in ("out", self._process.stdout), ("err", self._errors):
            if stream is not None:
                self.listen(name, stream.fileno())

    def listen(self, name: str, descriptor: int) -> None:
        """Take what comes out of this descriptor for the lines of the stream `name`."""
        os.set_blocking(descriptor, False)
        self._selector.register(descriptor, selectors.EVENT_READ, lambda: self._read(name, descriptor))

    def hang_up(self, descriptor: int) -> None:
        """Close a descriptor that was listened to."""
        self._selector.unregister(descriptor)
        os.close(descriptor)

    @property
    def out(self) -> list[str]:
        """All lines so far of standard output."""
        return self._lines["out"].all

    @property
    def err(self) -> list[str]:
        """All lines so far of standard error."""
        return self._lines["err"].all

    def expect(self, pattern: str, stream: str = "out") -> re.Match[str]:
        """Return the match of the next line in which `pattern` is found; lines before it are passed over."""
        return self._until(lambda: self._search(pattern, stream), f"a line with {pattern!r} on {stream}")

    def expect_lines(self, count: int) -> list[str]:
        """Wait until `count` lines have come, on both streams together; return all of them."""
        return self._until(lambda: lines if len(lines := self.out + self.err) >= count else None, f"{count} lines")

    def expect_each(self, patterns: Iterable[str], stream: str = "out") -> dict[str, re.Match[str]]:
        """Wait until each pattern has been found in a line of its own, in whatever order they come."""
        found: dict[str, re.Match[str]] = {}
        missing = list(patterns)
        while missing:
            line = self.expect("|".join(f"(?:{pattern})" for pattern in missing), stream).string
            pattern = next(pattern for pattern in missing if re.search(pattern, line))
            missing.remove(pattern)
            match = re.search(pattern, line)
            assert match is not None
            found[pattern] = match
        return found

    def send(self, number: int) -> None:
        signal.pidfd_send_signal(self._pidfd, number)

    def wait(self) -> int:
        """Return the exit status once the process has ended and all that it wrote has been read."""

        def status() -> int | None:
            if self.status is not None:
                while self._selector.get_map() and self._take(0):
                    pass
            return self.status

        return self._until(status, "its end")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and return the exit status; nothing of the program may be left then."""
        self.send(number)
        status = self.wait()
        assert not self.left(), f"left behind: {[command_line(pid) for pid in self.left()]}"
        return status

    def stop_when(self, condition: Callable[[], bool]) -> int:
        """Wait for what can only be seen by looking, then `stop`."""
        until(condition, "what was waited for")
        return self.stop()

    def children(self) -> list[int]:
        """Return the pids of the living children."""
        return children(self.pid)

    def left(self) -> list[int]:
        """Return all living processes that come from this one, itself included, also those with another parent now."""
        return _left({self.marker})

    def end(self) -> None:
        """End the process if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            self.send(signal.SIGKILL)
        self.wait()

    def release(self) -> None:
        """Close what this process has open for it."""
        for stream in self._process.stdout, self._errors:
            if stream is not None:
                stream.close()
        self._selector.close()
        os.close(self._pidfd)

    def _until(self, look: Callable[[], T | None], what: str) -> T:
        deadline = monotonic() + PATIENCE
        while True:
            found = look()
            if found is not None:
                return found
            if not self._selector.get_map() or not self._take(deadline - monotonic()):
                raise AssertionError(f"{what} never came{self._transcript()}")

    def _take(self, timeout: float) -> bool:
        """Take in what comes within `timeout` seconds; tell whether anything did."""
        events = self._selector.select(max(0, timeout))
        for key, _ in events:
            key.data()
        return bool(events)

    def _search(self, pattern: str, stream: str) -> re.Match[str] | None:
        while (line := self._lines[stream].next()) is not None:
            if match := re.search(pattern, line):
                return match
        return None

    def _read(self, name: str, descriptor: int) -> None:
        try:
            data = os.read(descriptor, 1 << 20)
        except OSError:  # EIO: a terminal that no process has open any more.
            data = b""
        if data:
            self._lines[name].feed(data)
        else:
            self._selector.unregister(descriptor)

    def _ended(self) -> None:
        self._selector.unregister(self._pidfd)
        self.status = self._process.wait()

    def _transcript(self) -> str:
        ended = "still running" if self.status is None else f"ended with {self.status}"
        return f" ({ended})\n--- out\n" + "\n".join(self.out[-50:]) + "\n--- err\n" + "\n".join(self.err[-50:])


class Start:
    """Starts programs for one test, and ends them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._started: list[Running] = []
        self.keep = contextlib.ExitStack()
        """What is closed once everything has ended."""

    def command(self, *command: str | Path, **options: Any) -> Running:
        """Start any command, in the test's own directory."""
        running = Running(command, **{"cwd": self.directory, **options})
        self._started.append(running)
        return running

    def program(self, source: str, *arguments: str, **options: Any) -> Running:
        """Start a Python program that is given as text."""
        script = self.directory / "program.py"
        if not script.exists() or script.read_text() != source:  # One that has just been started may be reading it.
            script.write_text(source)
        return self.command(sys.executable, "program.py", *arguments, **options)

    def sample(self, name: str, *arguments: str, **options: Any) -> Running:
        """Start one of the installed samples."""
        script = Path(sys.executable).with_name(name)
        if not script.exists():
            pytest.skip(f"{name} is not installed beside {sys.executable}")
        return self.command(script, *arguments, **options)

    def web(self, *arguments: str, **options: Any) -> tuple[Running, int]:
        """Start the web sample on a free port; return it, and the port, once every worker has been started."""
        web = self.sample("prefork-sample-web", "-p", "0", *arguments, **options)
        match = web.expect(r"^Serving http://127.0.0.1:(\d+)/ with (\d+) workers; the master is (\d+)$")
        assert int(match[3]) == web.pid
        ids = {f"id={number}" for number in range(int(match[2]))}
        until(lambda: by_id(web).keys() == ids, f"workers {ids}")
        return web, int(match[1])

    def close(self) -> None:
        """End the programs that still run. What they have started has to end by itself then, or this fails."""
        with self.keep, contextlib.ExitStack() as stack:
            for running in self._started:
                stack.callback(running.release)
            stack.callback(self._check_left)
            for running in self._started:
                stack.callback(running.end)

    def _check_left(self) -> None:
        """Look once for all programs: each look reads the environment of every process of the machine."""
        markers = {running.marker for running in self._started}
        left = {pid: command_line(pid) for pid in _left(markers)} if markers else {}
        try:
            assert all(gone(pid) for pid in left), f"outlived the master: {left}"
        finally:
            if left:
                kill(_left(markers))


def by_id(web: Running) -> dict[str, int]:
    """Return the web sample's workers: the last argument (`id=0`) -> pid."""
    return {words[-1]: pid for pid in web.children() if (words := command_line(pid))}


class Spied:
    """What `spy/sitecustomize.py` notes of the programs that are started in `environment`."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "spied"
        self.environment = {
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(Path(__file__).parent / "spy"), os.environ.get("PYTHONPATH", "")])
            ),
            "TEST_OF_PREFORK_SPY": str(self._file),
        }

    def notes(self, pid: int) -> list[str]:
        """Return what the process `pid` did: `started 7`, `sent 15 to 7`, `reaped 7 0`, in this order."""
        lines = [line.split(" ", 1) for line in self._file.read_text().splitlines()]
        return [note for who, note in lines if who == str(pid)]


def gone(pid: int, timeout: float = PATIENCE) -> bool:
    """Wait until a process has ended (it need not have been reaped); tell whether it has."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    waiting = select.poll()  # select() takes no descriptor above 1023, and a long test has many daemons.
    waiting.register(pidfd, select.POLLIN)
    try:
        return bool(waiting.poll(timeout * 1000))
    finally:
        os.close(pidfd)


def kill(pids: Iterable[int]) -> None:
    """End processes that a test has started."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def children(pid: int, *, ended: bool = False) -> list[int]:
    """Return the children of a process, with or without those that have ended and are to be reaped."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [child for child in map(int, text.split()) if ended or state(child) not in "ZX"]


def state(pid: int) -> str:
    """Return the letter that says what a process does (R, S, T, Z, ...); X when there is none such."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def switches(pid: int, kind: str = "") -> int:
    """Return how often a process, or a thread, has slept (`voluntary`) or been preempted (`nonvoluntary`), or both."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line and line.startswith(kind))


def resident(pid: int | str = "self") -> int:
    """Return the resident memory of a process, in kilobytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * (os.sysconf("SC_PAGE_SIZE") // 1024)


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for what only /proc can tell, by looking again and again."""
    deadline, pause = monotonic() + PATIENCE, 0.002
    while not condition():
        assert monotonic() < deadline, f"never: {what}"
        select.select([], [], [], pause)
        pause = min(0.03, pause * 1.3)  # Looking costs the machine that the test waits for.


def until_still(woken: Callable[[], object], seconds: float) -> None:
    """Wait for a window of so many seconds in which the count of wake-ups stays as it is.

    First something may have to be done, at any time where the machine is busy; what wakes up again and again has no
    such window.
    """

    def is_still() -> bool:
        before = woken()
        sleep(seconds)  # Not a wait for anything: what is measured is that nothing happens.
        return woken() == before

    until(is_still, f"{seconds:g} s without a wake-up")


def command_line(pid: int) -> list[str]:
    """Return the arguments of a process; none when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def chance_seed() -> int:
    """Return the seed of this test's random inputs, and print it; TEST_OF_PREFORK_SEED sets it."""
    seed = int(os.environ.get("TEST_OF_PREFORK_SEED", time_ns()))
    print("seed", seed)
    return seed


def _left(markers: set[str]) -> list[int]:
    """Return the living processes whose environment has one of these marks."""
    marks = [f"{_MARKER}={marker}\0".encode() for marker in markers]
    return [pid for pid in _pids() if (environment := _environment(pid)) and any(mark in environment for mark in marks)]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _environment(pid: int) -> bytes:
    """Return the variables of a process, each with a zero byte behind it. Read by plain calls, for every process."""
    try:
        descriptor = os.open(f"/proc/{pid}/environ", os.O_RDONLY)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
    try:
        return os.read(descriptor, 1 << 17)
    except ProcessLookupError:
        return b""
    finally:
        os.close(descriptor)


def own_descriptors() -> list[str]:
    """Those that this process has open, once what other tests have left open but forgotten is closed."""
    gc.collect()
    gc.freeze()  # What is alive now is not looked through again by the next test, which takes 0.1 s each time.
    return os.listdir("/proc/self/fd")
