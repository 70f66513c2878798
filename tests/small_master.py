"""A master without a supervisor: what tests of molds and newborns order by hand, and what they hear."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import prefork
from prefork._core.events import SpareForked, WorkerReady
from prefork._linux import stacks
from prefork._linux.subreaper import become_subreaper
from prefork._master.births.channels import Fact, PlanReceived, ProcessChannels
from prefork._master.births.start import Interpreter, start_mold
from prefork._master.passed.shared import Shared
from prefork._wire import messages, scoreboard
from support import children

if TYPE_CHECKING:
    from prefork._wire.launch import Identity

PATIENCE = 20.0  # seconds; far more than anything here takes
SOURCE = str(Path(prefork.__file__).parent.parent)
HERE = str(Path(__file__).parent)
F = TypeVar("F")


def readable(descriptor: Any) -> None:
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    assert waiting.poll(PATIENCE * 1000), "nothing came"


@contextlib.contextmanager
def standard_error_to(path: Path) -> Iterator[None]:
    """For the processes that are started meanwhile."""
    kept = os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class SmallMaster:
    """Everything that it starts has ended when the `with` block does."""

    def __init__(self) -> None:
        become_subreaper()
        self.board, self.stacks = scoreboard.create(), stacks.create()
        self.shared = Shared(self.board, self.stacks)
        self.reader, self.writer = self.shared.lifeline, self.shared.writer
        self.channels = ProcessChannels()
        self.facts: list[Fact] = []
        self.molds: dict[int, int] = {}
        self._before = set(children(os.getpid(), ended=True))
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.setblocking(False)

    def __enter__(self) -> SmallMaster:
        return self

    def __exit__(self, *_: object) -> None:
        self.channels.close()
        self.shared.close()
        os.close(self.board)
        os.close(self.stacks)
        self.listener.close()
        while ours := self.children():
            for pid in ours:
                os.kill(pid, signal.SIGKILL)
            for pid in ours:
                self.status(pid)

    def start(
        self,
        arguments: Mapping[str, Any] | None = None,
        *,
        generation: int = 1,
        share: Any = "freeze",
        identity: Identity | None = None,
        python: str = sys.executable,
        path: Sequence[str] = (),
    ) -> int:
        """Start a mold; its pid."""
        launch = messages.MoldLaunch(
            application="mold_application:run",
            arguments=dict(arguments or {}),
            generation=generation,
            title=f"prefork: mold g{generation} test",
            spare_title=f"prefork: spare g{generation} test",
            share=share,
            argv=("app.py", "--option"),
            alone=False,
        )
        packages = [each for each in sys.path if each.endswith("site-packages")]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join([*path, HERE, SOURCE, *packages])}
        interpreter = Interpreter([python], environ, identity)
        pid, channel = start_mold(interpreter, launch, self.shared)
        self.channels.add_mold(generation, pid, channel)
        self.molds[generation] = pid
        return pid

    def planned(self, arguments: Mapping[str, Any] | None = None, **options: Any) -> int:
        """Start a mold and wait until it can fork; its pid."""
        pid = self.start(arguments, **options)
        self.channels.compute_plan(options.get("generation", 1))
        self.expect(PlanReceived)
        return pid

    def hear(self) -> None:
        """Wait for facts."""
        readable(self.channels)
        self.facts += self.channels.read()

    def expect(self, kind: type[F]) -> F:
        """The first fact of this kind that has not been expected yet."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for fact in self.facts:
                if isinstance(fact, kind):
                    self.facts.remove(fact)
                    return fact
            assert time.monotonic() < deadline, f"no {kind.__name__}, but {self.facts}"
            if kind is PlanReceived:
                assert not self.facts, self.facts
            self.hear()

    def spare(self, generation: int = 1) -> int:
        """The pid of a new one."""
        self.channels.fork_spares(generation, 1)
        return self.expect(SpareForked).pid

    def order(self, pid: int, do: str, /, *, context: Mapping[str, Any] | None = None, **changes: Any) -> None:
        order = messages.Order(
            **{
                "key": f"{do}/0",
                "generation": 1,
                "context": {"do": do, **(context or {})},
                "master": os.getpid(),
                "title": f"prefork: {do}/0 g1 test",
                "listeners": ("http",),
                "environ": {"EXTRA": "extra"},
                **changes,
            }
        )
        self.channels.order(pid, order, [self.reader, self.listener.fileno()])

    def worker(self, do: str, /, **options: Any) -> int:
        """The pid of a new one that has said that it is ready."""
        pid = self.spare()
        self.order(pid, do, **options)
        assert self.expect(WorkerReady).pid == pid
        return pid

    def ask(self) -> dict[str, Any]:
        """What the worker that takes the connection says of itself."""
        with socket.create_connection(self.listener.getsockname(), timeout=PATIENCE) as connection:
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        found = json.loads(answer)
        assert isinstance(found, dict)
        return found

    def children(self) -> set[int]:
        """Return the children that have come since the start: this process may have daemons that tests share."""
        return set(children(os.getpid(), ended=True)) - self._before

    def status(self, pid: int) -> int:
        """Reap a child, as subprocess gives the status: negative for the signal."""
        descriptor = os.pidfd_open(pid)
        try:
            readable(descriptor)
        finally:
            os.close(descriptor)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
