"""The role of a worker: believed only together with a sealed memfd of ours, and gone before the application runs."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from prefork._linux import memfd
from support import Start

PROGRAM = """
import os, subprocess, sys
from dataclasses import dataclass
import prefork

@dataclass(frozen=True)
class Curious(prefork.WorkerContext):
    id: int

def work(worker):
    print("worker", os.environ.get("PREFORK"), flush=True)
    subprocess.run(["sh", "-c", 'echo "child ${PREFORK-unset} $(ls /proc/self/fd | tr "\\\\n" " ")"'])

def start(_config):
    print("master", os.environ.get("PREFORK"))
    return [prefork.fork_worker_process(Curious(0))]

print("imported", os.environ.get("PREFORK"))
prefork.default_main(prefork.PreforkSettings(update_config=lambda: 1, update_server=start), work)
"""


def test_role_is_hidden_from_application_and_children(start: Start) -> None:
    program = start.program(PROGRAM)
    program.expect(r"^child unset 0 1 2 3 $")  # 3 is the directory that ls reads.
    assert program.stop() == 0
    assert program.out[:-1] == ["imported None", "master None", "imported None", "worker None"]


@pytest.mark.parametrize(
    "value", ["1", "", "worker", "worker:", "worker:x", "worker:0", "worker:99", "worker:" + "9" * 30]
)
def test_a_role_that_no_master_gave_is_a_usage_error(start: Start, value: str) -> None:
    program = start.program(PROGRAM, env={"PREFORK": value})
    assert program.wait() == 2
    assert program.out == ["imported None"]
    assert program.err == [
        f"prefork: PREFORK={value} is set in the environment, but no master has started this process: unset it"
    ]


def made(name: str, seals: int) -> int:
    descriptor = os.memfd_create(name, os.MFD_ALLOW_SEALING)
    os.write(descriptor, b'{"kind": "curious", "key": "x", "lifeline": 0, "reports": 1, "descriptors": []}\n{}')
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


_ALL = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: made("prefork-launch", 0), id="not sealed"),
        pytest.param(lambda: made("prefork-launch", _ALL & ~fcntl.F_SEAL_WRITE), id="can be written to"),
        pytest.param(lambda: made("prefork-launch", _ALL & ~fcntl.F_SEAL_SEAL), id="can be sealed further"),
        pytest.param(lambda: made("another", _ALL), id="another program's"),
        pytest.param(lambda: os.pipe()[0], id="pipe"),
        pytest.param(lambda: os.open(sys.executable, os.O_RDONLY), id="file"),
    ],
)
def test_descriptor_without_sealed_launch_is_refused(start: Start, make: Callable[[], int]) -> None:
    descriptor = make()
    program = start.program(PROGRAM, env={"PREFORK": f"worker:{descriptor}"}, pass_fds=[descriptor])
    os.close(descriptor)
    assert program.wait() == 2
    assert "no master has started this process" in program.err[0]


@contextmanager
def closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_a_sealed_message_comes_back_and_cannot_be_changed(size: int) -> None:
    data = os.urandom(size)
    with closing(memfd.write("prefork-test", data)) as descriptor:
        assert not os.get_inheritable(descriptor)
        for _ in range(2):
            assert memfd.read(descriptor) == data
        for change in (
            lambda: os.pwrite(descriptor, b"x", 0),
            lambda: os.ftruncate(descriptor, size + 1),
            lambda: fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, 0),
        ):
            with pytest.raises(PermissionError):
                change()


def test_a_closed_descriptor_holds_no_message() -> None:
    descriptor = memfd.write("prefork-test", b"data")
    os.close(descriptor)
    with pytest.raises(ValueError, match="not a memfd"):
        memfd.read(descriptor)
