"""The reader: stacks of another process, what it says where it may not read, and what the master makes of answers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest

import prefork
from prefork._linux.tracing import ptracer
from prefork._linux.tracing.tasks import tasks
from prefork._master.outside.readers import Outside, parsed
from prefork._reader.sampling.threads import Threads
from support import until

pytestmark = pytest.mark.processes

PROGRAM = Path(prefork.__file__).parent / "_reader" / "program.py"
READS = sys.version_info >= (3, 14)
from_314 = pytest.mark.skipif(not READS, reason="before Python 3.14 no stacks can be read from outside")

TARGET = """
import threading
def inner():
    print("there", flush=True)
    threading.Event().wait()
def outer():
    inner()
outer()
"""


@pytest.fixture
def target() -> Iterator[int]:
    """A process that waits in `inner`."""
    with subprocess.Popen([sys.executable, "-c", TARGET], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def asked(pid: int, **options: Any) -> dict[str, Any]:
    """Return what a reader answers that reads a process."""
    command = [sys.executable, "-I", "-S", str(PROGRAM), "stacks", str(pid)]
    answer: dict[str, Any] = json.loads(subprocess.check_output(command, timeout=60, **options))
    return answer


@from_314
def test_reader_shows_the_frames_of_another_process(target: int) -> None:
    answer = asked(target)
    assert 'File "<string>", line 5 in inner\n  File "<string>", line 7 in outer' in answer["text"]
    assert answer["gil"] == 0, "it waits, and no thread holds the GIL"
    assert parsed(json.dumps(answer).encode()).text == answer["text"]


@pytest.mark.skipif(READS, reason="this Python can read stacks")
def test_reader_of_an_older_python_says_that_it_cannot(target: int) -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    assert asked(target) == {"error": f"Python {version} cannot read stacks of other processes; 3.14 and later can"}


@from_314
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_reader_names_the_right_that_is_missing(target: int) -> None:
    ours = Path(prefork.__file__)
    if not all(folder.stat().st_mode & 0o001 for folder in (*ours.parents, *Path(sys.executable).parents)):
        pytest.skip("another user cannot enter the folders of the interpreter")
    why = "it runs as uid 0 and the reader as uid 65534, without CAP_SYS_PTRACE"
    assert asked(target, user=65534) == {"error": f"no permission to read its memory: {why}"}


@from_314
def test_reader_of_a_process_that_has_ended() -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    assert "error" in asked(ended.pid)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"text": "a", "gil": 7, "waits": true, "complete": true}\n', Outside("a", 7, complete=True, waits=True)),
        (b'{"error": "why"}', Outside(why="why")),
        (b"", Outside(why="the reader has ended without an answer, or had none in 5 s")),
        *[
            (data, Outside(why="the reader has answered something else than stacks"))
            for data in (
                b"{",
                b"[]",
                b"\xff",
                b'{"text": 1, "gil": 0, "complete": true}',
                b"[" * 100_000,
                b"1" * (1 << 21),
            )
        ],
    ],
)
def test_answers_of_readers_are_checked(data: bytes, found: Outside) -> None:
    assert parsed(data) == found


@from_314
def test_tasks_name_what_awaits_them() -> None:
    async def main() -> str:
        async def wait(other: asyncio.Future[None]) -> None:
            await other

        inner = asyncio.create_task(wait(asyncio.get_running_loop().create_future()), name="inner")
        outer = asyncio.create_task(wait(inner), name="outer")
        await asyncio.sleep(0)
        lines = "".join(tasks(asyncio))
        inner.cancel()
        await asyncio.wait([outer])
        return lines

    lines = asyncio.run(main()).splitlines()
    assert [line for line in lines if line.startswith("  inner waits at ") and line.endswith("; awaited by outer")]
    assert [line for line in lines if line.startswith("  outer waits at ") and "awaited by" not in line]


def test_master_is_admitted_only_where_yama_asks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptracer, "_prctl", None)
    scope = tmp_path / "ptrace_scope"
    for other in (None, "0\n", "2\n"):
        if other is not None:
            scope.write_text(other)
        ptracer.prepare(str(scope))
        assert ptracer._prctl is None
    scope.write_text("1\n")
    ptracer.prepare(str(scope))
    assert ptracer._prctl is not None
    ptracer.admit(os.getppid())


BUSY = """
import sys, time
def hot(end):
    while time.process_time() < end:
        for number in range(1000):
            pass
def main():
    print("there", flush=True)
    sys.stdin.read(1)
    time.sleep(0.01)
    print("computes", flush=True)
    while True:
        hot(time.process_time() + 0.003)
main()
"""


@pytest.fixture
def busy() -> Iterator[int]:
    """A process that computes in `hot`."""
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        process.stdin.write(b"go")
        process.stdin.flush()
        process.stdout.readline()  # From here on it never waits.
        yield process.pid
        process.kill()


def sampling(pid: int, seconds: float, idle: bool = False, rate: int = 100) -> str:
    return json.dumps({"workers": {"web/0": pid}, "seconds": seconds, "rate": rate, "idle": idle})


def profiled(pid: int, **options: Any) -> dict[str, Any]:
    command = [sys.executable, "-I", "-S", str(PROGRAM), "profile", sampling(pid, 2.0, **options)]
    answer: dict[str, Any] = json.loads(subprocess.check_output(command, timeout=60))
    return answer


@from_314
def test_samples_show_the_function_that_computes(busy: int) -> None:
    found = profiled(busy)
    stacks: dict[str, int] = found["stacks"]
    assert sum(stacks.values()) > 2
    assert sum(count for stack, count in stacks.items() if ";hot (" in stack) > 0.8 * sum(stacks.values())
    assert found["workers"]["web/0"]["samples"] > 5


@from_314
def test_threads_that_wait_count_for_idle_only(target: int) -> None:
    assert profiled(target)["stacks"] == {}
    (stack, *_) = profiled(target, idle=True)["stacks"]
    assert re.match(r"web/0;<module> \(<string>:\d\);outer \(<string>:\d\);inner \(<string>:\d\);.*", stack)


@pytest.mark.skipif(READS or which("py-spy") is not None, reason="this Python can read stacks, or py-spy can")
def test_older_python_without_py_spy_is_refused_in_a_sentence(target: int) -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    why = f"Python {version} has no profiler for other processes, and py-spy is not there"
    assert profiled(target) == {"error": f"{why}: install it beside the application: pip install py-spy"}


SHARES = """
import random, sys, time
def hot(count):
    for number in range(count):
        pass
def cold(count):
    for number in range(count):
        pass
def timed(function, count):
    begun = time.thread_time()
    function(count)
    return time.thread_time() - begun
def main():
    print("there", flush=True)
    spent = [0.0, 0.0]
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        spent[0] += timed(hot, random.randint(1000, 139_000))
        time.sleep(0.0001)
        spent[1] += timed(cold, random.randint(1000, 59_000))
    print(spent[0] / time.process_time())
main()
"""


@from_314
def test_share_of_a_function_is_that_of_its_processor_time() -> None:
    with subprocess.Popen([sys.executable, "-c", SHARES], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        stacks: dict[str, int] = profiled(process.pid, rate=500)["stacks"]
        truth = float(process.stdout.read())
    hot, samples = sum(count for stack, count in stacks.items() if ";hot (" in stack), sum(stacks.values())
    assert samples > 0
    chance = 4 * (truth * (1 - truth) / samples) ** 0.5
    assert abs(hot / samples - truth) < 0.03 + chance, f"{hot} of {samples} samples, and {truth:.1%} of the time"


def test_thread_that_we_displace_has_no_processor(busy: int) -> None:
    """Only one of two processes can be on one processor, and this one is when it asks."""
    ours = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(ours)})
        os.sched_setaffinity(busy, {min(ours)})
        threads = Threads(busy)
        until(lambda: (threads.that_could_run() or {}).get(busy), "it computes")
        found = [(threads.that_could_run() or {}).get(busy) for _ in range(50)]
    finally:
        os.sched_setaffinity(0, ours)
    assert any(each and each.could_run for each in found)
    # It may get the processor between our two looks.
    assert sum(1 for each in found if each and each.runs) < 10


def test_thread_on_another_processor_is_seen_to_run(busy: int) -> None:
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip("there is one processor")
    threads = Threads(busy)

    def runs() -> bool:
        found = (threads.that_could_run() or {}).get(busy)
        return found is not None and found.runs

    until(runs, "it is on a processor")


SEAT = """
import os
from prefork._reader.sampling.seat import Seat
allowed, seat, seen = os.sched_getaffinity(0), Seat(), set()
for _ in range(50 * len(allowed)):
    seat.change()
    seen |= os.sched_getaffinity(0)
assert seen <= allowed and len(seen) > len(allowed) / 2, (seen, allowed)
"""


def test_seat_is_each_of_the_processors_that_are_allowed() -> None:
    subprocess.run([sys.executable, "-c", SEAT], check=True, timeout=60)


@from_314
def test_sampling_ends_when_its_reader_has_gone(busy: int) -> None:
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-I", "-S", PROGRAM, "profile", sampling(busy, 600)], stdout=writer
    ) as child:
        os.close(writer)
        os.close(reader)
        assert child.wait(60) == 0
