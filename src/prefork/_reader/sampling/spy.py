"""Samples by py-spy, where it is installed: for Python before 3.14, and for all frames of 3.14 (docs/profile.md)."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from ..unwinder import Unreadable
from .sample import Wanted

_LONGEST = 16 << 20
"""Bytes of what it writes about one process."""

_POLL = 0.1
_GRACE = 10.0
"""Seconds that it may take besides."""


def found() -> str | None:
    """Return where py-spy is: beside the interpreter, or where commands are looked for."""
    beside = os.path.dirname(sys.executable)
    return shutil.which("py-spy", path=f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}")


def spied(program: str, wanted: Wanted, unwanted: Callable[[], bool]) -> dict[str, Any]:
    """Return the profile, by one py-spy for each process. Raises Unreadable if it cannot read one."""
    started, counts, workers = monotonic(), Counter[str](), {}
    spies = [(slot, pid, *_start(program, pid, wanted)) for slot, pid in wanted.workers.items()]
    ends = started + wanted.seconds + _GRACE
    try:
        while any(spy.poll() is None for _, _, spy, _ in spies) and monotonic() < ends and not unwanted():
            sleep(_POLL)
    finally:
        for _, _, spy, _ in spies:
            spy.kill()
    for slot, pid, spy, output in spies:
        said = (spy.stderr.read() if spy.stderr is not None else b"").decode(errors="replace")
        spy.wait()
        stacks = _parsed(os.pread(output, _LONGEST, 0).decode(errors="replace"))
        if not stacks and spy.returncode:
            raise Unreadable(f"py-spy cannot read it: {' '.join(said.split())[-300:]}")
        counts.update({f"{slot};{stack}": count for stack, count in stacks.items()})
        workers[slot] = {"pid": pid, "samples": round(wanted.seconds * wanted.rate), "missed": 0}
    seconds = round(monotonic() - started, 2)
    return {"by": "py-spy", "complete": True, "seconds": seconds, "workers": workers, "stacks": dict(counts)}


def _start(program: str, pid: int, wanted: Wanted) -> tuple[subprocess.Popen[bytes], int]:
    """Start a py-spy that does not stop the process; return it, and where it writes its stacks to."""
    output = os.memfd_create("py-spy")
    options = {"pid": pid, "duration": math.ceil(wanted.seconds), "rate": wanted.rate, "format": "raw"}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    words += ["--nonblocking", "--full-filenames", "--output", f"/proc/self/fd/{output}", *["--idle"] * wanted.idle]
    command = [program, "record", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=[output]), output


def _parsed(text: str) -> dict[str, int]:
    """Return the stacks of lines `frame;frame;frame COUNT`."""
    lines = [line.rpartition(" ") for line in text.splitlines()]
    return {stack: int(count) for stack, _, count in lines if stack and count.isdecimal()}
