"""Evidence in /proc: a process's threads, where they wait, what they use."""

from __future__ import annotations

import os
import re
from time import monotonic

from ...._core.watch.verdicts import Thread
from ...._records.record import record

_MOST = 200
"""Threads of a process that are read, at most."""

_POLLS, _FEW_POLLS = 100, 20
"""Voluntary context switches a second, at least, of a thread that waits for the GIL, and of the main thread."""

_CALLS = {
    "x86_64": {202: "futex", 0: "read", 7: "poll", 23: "poll", 45: "recv", 47: "recv", 232: "poll", 281: "poll",
               35: "nanosleep", 230: "nanosleep", 271: "poll", 43: "accept", 288: "accept", 19: "read"},
    "aarch64": {98: "futex", 63: "read", 73: "poll", 207: "recv", 212: "recv", 22: "poll", 101: "nanosleep",
                115: "nanosleep", 72: "poll", 202: "accept", 242: "accept", 65: "read"},
}.get(os.uname().machine, {})  # fmt: skip
"""Blocking system calls, for kernels that hide wchan (asm/unistd.h)."""


@record
class _ThreadSample:
    """A thread; `ran` on a CPU and `waited` in the run queue: seconds since it began."""

    name: str
    state: str
    waits_in: str
    ran: float
    waited: float
    switches: int


@record
class Sample:
    """A process at one moment; no threads if it has ended."""

    at: float
    tracer: int
    caught: int
    threads: dict[int, _ThreadSample]


def waited(pid: int, main: bool) -> float:
    """Return the seconds in the run queue so far, of the main thread or of the thread with most of them."""
    threads = [pid] if main else _threads(pid)
    return max((_schedule(f"/proc/{pid}/task/{tid}")[1] for tid in threads), default=0.0)


def sample(pid: int) -> Sample:
    """Read a process now."""
    status = _read(f"/proc/{pid}/status")
    tracer, caught = _number(status, "TracerPid"), _number(status, "SigCgt", 16)
    return Sample(monotonic(), tracer, caught, {tid: _thread(pid, tid) for tid in _threads(pid)})


def catches(pid: int, number: int) -> bool:
    """Return whether a process has a handler for a signal; without one the signal would end it."""
    return bool(_number(_read(f"/proc/{pid}/status"), "SigCgt", 16) >> (number - 1) & 1)


def contended(pid: int, before: Sample, after: Sample) -> bool:
    """Return whether a thread waits for the GIL: CPython wakes such a one 200 times a second, to ask for it again.

    The main thread was asked in between to run Python code: few times are enough of it, if it had a processor.
    """
    span = after.at - before.at
    for tid, seen in after.threads.items():
        earlier = before.threads.get(tid)
        if earlier is not None and seen.waits_in.startswith("futex"):
            rate = (seen.switches - earlier.switches) / max(span, 0.001)
            starved = seen.waited - earlier.waited > span / 2
            if rate >= (_FEW_POLLS if tid == pid else _POLLS) and not starved:
                return True
    return False


def threads(before: Sample | None, after: Sample) -> tuple[Thread, ...]:
    """Return the threads of `after`, with what they have used since `before`."""
    span = max(after.at - before.at, 0.001) if before is not None else 0.0
    found = []
    for tid, seen in after.threads.items():
        earlier = before.threads.get(tid) if before is not None else None
        found.append(
            Thread(
                tid,
                seen.name,
                seen.state,
                seen.waits_in,
                min(1.0, (seen.ran - earlier.ran) / span) if earlier is not None else 0.0,
                min(1.0, (seen.ran + seen.waited - earlier.ran - earlier.waited) / span)
                if earlier is not None
                else 0.0,
                seen.switches - earlier.switches if earlier is not None else 0,
            )
        )
    return tuple(found)


def _threads(pid: int) -> list[int]:
    """Return the thread ids, the main thread first."""
    try:
        return sorted(map(int, os.listdir(f"/proc/{pid}/task")), key=lambda tid: (tid != pid, tid))[:_MOST]
    except OSError:
        return []


def _thread(pid: int, tid: int) -> _ThreadSample:
    place = f"/proc/{pid}/task/{tid}"
    name, _, rest = _read(f"{place}/stat").partition("(")[2].rpartition(")")
    waits_in = _read(f"{place}/wchan").strip()
    if waits_in in ("", "0"):
        call = _read(f"{place}/syscall").split(" ")[0]
        waits_in = _CALLS.get(int(call), "") if call.isdecimal() else ""
    ran, waited = _schedule(place)
    switches = _number(_read(f"{place}/status"), "voluntary_ctxt_switches")
    return _ThreadSample(name, rest.split()[0] if rest else "X", waits_in, ran, waited, switches)


def _schedule(place: str) -> tuple[float, float]:
    """Return the seconds that a thread ran, and waited in the run queue (0.0 if the kernel does not count)."""
    ran, waited = [*_read(f"{place}/schedstat").split(), "0", "0"][:2]
    return int(ran) / 1e9, int(waited) / 1e9


def _number(status: str, name: str, base: int = 10) -> int:
    match = re.search(rf"^{name}:\s*(\w+)", status, re.MULTILINE)
    return int(match[1], base) if match else 0


def _read(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""  # The process has ended, or belongs to another user.
