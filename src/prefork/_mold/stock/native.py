"""Which library a thread belongs to that Python does not know: the first one on its stack besides the C library."""

from __future__ import annotations

import os
import struct
from bisect import bisect
from collections.abc import Iterable, Iterator

_DEPTH = 512
"""Words of a stack that are read: a thread that waits for work is not deep in calls."""
_NOT_THESE = ("libc.", "libc-", "libpthread", "ld-", "libstdc++", "libgcc", "libpython", "python", "[")


def libraries(numbers: Iterable[int]) -> Iterator[str]:
    """Yield the file name of the library that each of these threads of this process waits in, where it is found."""
    starts, code = _code()
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        for number in numbers:
            for address in _addresses(number, memory.fileno()):
                place = bisect(starts, address) - 1
                if place >= 0 and address < code[place][0]:
                    yield code[place][1]
                    break


def _code() -> tuple[list[int], list[tuple[int, str]]]:
    """Return where the code of libraries starts, and its ends and names, in order (proc_pid_maps(5))."""
    starts, code = [], []
    with open("/proc/self/maps") as maps:
        for line in maps:
            area, permissions, *_, path = line.split(maxsplit=5) if line.count(" ") > 5 else (*line.split(), "")
            name = os.path.basename(path.strip())
            if "x" in permissions and name and not name.startswith(_NOT_THESE):
                start, end = (int(each, 16) for each in area.split("-"))
                starts.append(start)
                code.append((end, name))
    return starts, code


def _addresses(number: int, memory: int) -> Iterator[int]:
    """Yield what a thread's program counter and the words of its stack are; nothing for one that runs or has ended."""
    try:
        with open(f"/proc/self/task/{number}/syscall") as file:
            *_, stack, counter = file.read().split()
        yield int(counter, 16)
        words = os.pread(memory, 8 * _DEPTH, int(stack, 16))
    except (OSError, ValueError):
        return
    yield from struct.unpack(f"{len(words) // 8}Q", words[: len(words) // 8 * 8])
