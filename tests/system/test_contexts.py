"""What a context says of its worker, in both interfaces: how it is started, and values of any type."""

from __future__ import annotations

import os
import sys

import pytest

from support import Start

HERE = min(os.sched_getaffinity(0))

CONTEXTS = f"""
import os, pickle, re, signal, sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
import prefork

@dataclass(frozen=True)
class Launched(prefork.WorkerContext):
    id: int

    def interpreter_options(self):
        return ["-X", "not this one"]

    def launch(self):
        if self.id == 1:
            return prefork.Launch(affinity=(1023,), nice=3)
        return prefork.Launch({{"COLOUR": "red"}}, affinity=({HERE},), nice=5, interpreter_options=("-X", "dev"))

@dataclass(frozen=True)
class Pickled(prefork.WorkerContext):
    id: int
    anything: Any = field(compare=False)
    pattern: re.Pattern = field(compare=False)

    def encode(self):
        return b"\\xff\\0\\n" + pickle.dumps(vars(self))

    @classmethod
    def decode(cls, data):
        return cls(**pickle.loads(data[3:]))

def say(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

CONTEXTS = [Launched(0), Launched(1), Pickled(0, {{Path("/tmp"): 1 + 2j}}, re.compile("a+"))]
"""

TELL = """
    if isinstance(context, Pickled):
        say("pickled", context.anything, context.pattern)
    else:
        terms = sorted(os.sched_getaffinity(0)), os.nice(0), sys._xoptions
        say("launched", context.id, os.environ.get("COLOUR"), *terms)
"""

HOOKS = (
    CONTEXTS
    + "def work(context):"
    + TELL
    + """
    signal.pause()

def update(resource):
    prefork.update_worker_set(resource, CONTEXTS)
    return 1

if __name__ == "__main__":
    settings = prefork.relaunch_settings(prefork.PreforkResource(), update, prefork.fork_worker_process)
    prefork.default_main(settings, work)
"""
)

DAEMON = (
    CONTEXTS
    + "def tell(context):"
    + TELL
    + """
daemon = prefork.Daemon("contexts")
daemon.plan(lambda: [*CONTEXTS, Executed(0, {Path("/tmp"): 1 + 2j}, re.compile("a+"))])

class Executed(Pickled):
    pass
Executed = dataclass(frozen=True)(Executed)

@daemon.worker(Launched, spawn="exec")
@daemon.worker(Pickled)
@daemon.worker(Executed, spawn="exec")
def work(worker):
    tell(worker.context)
    worker.wait_draining()

if __name__ == "__main__":
    daemon.run()
"""
)


@pytest.mark.parametrize(("source", "pickled"), [(HOOKS, 1), (DAEMON, 2)], ids=["hooks", "daemon"])
def test_worker_is_started_as_its_context_says(start: Start, source: str, pickled: int) -> None:
    (start.directory / "program.py").write_text(source)
    running = start.command(sys.executable, "program.py", env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    everywhere = sorted(os.sched_getaffinity(0))
    lines = [rf"^launched 0 red \[{HERE}\] 5 {{'dev': True}}$", rf"^launched 1 None \{everywhere} 3 {{}}$"]
    of_pickle = r"^pickled {PosixPath\('/tmp'\): \(1\+2j\)} re.compile\('a\+'\)$"
    running.expect_each([*lines, *[of_pickle] * pickled])
    running.expect(r"launched/1: running without affinity=1023: Invalid argument$", "err")
    assert running.stop() == 0


def test_hook_that_is_a_coroutine_ends_the_start(start: Start) -> None:
    """It would otherwise be taken for the configuration."""
    program = start.program(HOOKS.replace("def update", "async def update"))
    assert program.wait() == 2
    (line,) = program.err
    assert line.startswith("prefork: hook update_config: update is <function update at ")
    assert line.endswith(", not a plain function: to run coroutines, give a function that calls asyncio.run()")
    assert program.left() == []
