"""Whether workers grow with the requests that they answer: memory, descriptors, threads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from ..._linux.figures import process as figures
from .load import Load, Place

if TYPE_CHECKING:
    from ..server import Server

_ROUNDS = 4
_WARM_UP = 4
"""The first of as many parts of the requests: caches fill, and pages are copied that a worker had shared."""
_MOST_DESCRIPTORS = 8
"""Descriptors and threads that may be more after a round: connections that are just being closed."""


class _Size(NamedTuple):
    private: int
    descriptors: int
    threads: int


_WORDS = {"private": "bytes of private memory", "descriptors": "open descriptors", "threads": "threads"}


def assert_no_growth(server: Server, requests: int = 5000, *, path: str = "/", tolerance: int = 1 << 20) -> None:
    """Send requests, and fail if a worker grows with them: in each of four rounds after the first quarter.

    `tolerance`: bytes of private memory by which a worker may be larger at the end than after the first quarter. A leak
    that is smaller than that by request, times the requests of one worker, is not seen. Raises AssertionError, which
    names the worker and what it has more of for each request.
    """
    place = server.place(path)
    each = requests // (_WARM_UP + 1)
    _send(place, requests - _ROUNDS * each)
    sizes = [_sizes(server)]
    for _ in range(_ROUNDS):
        _send(place, each)
        sizes.append(_sizes(server))
    if changed := {slot for size in sizes for slot, _ in size.keys() ^ sizes[0].keys()}:
        raise AssertionError(f"workers were replaced while they were measured: {', '.join(sorted(changed))}")
    limits = _Size(tolerance, _MOST_DESCRIPTORS, _MOST_DESCRIPTORS)
    found = [text for worker in sizes[0] for text in _grown([size[worker] for size in sizes], worker[0], limits)]
    if found:
        raise AssertionError(f"over {_ROUNDS * each} requests:\n" + "\n".join(found))


def _send(place: Place, requests: int) -> None:
    with Load(place, most=requests) as load:
        load.join()
    if load.failed:
        raise AssertionError(f"requests failed while growth was measured: {load!r}")


def _sizes(server: Server) -> Mapping[tuple[str, int], _Size]:
    """Return the sizes of the workers, by slot and pid."""
    workers = [(slot["key"], slot["pid"]) for slot in server.status()["slots"] if slot["pid"]]
    return {(key, pid): _size(pid) for key, pid in workers}


def _size(pid: int) -> _Size:
    memory = figures.memory(pid) or {"private": 0}
    return _Size(memory["private"], len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task")))


def _grown(sizes: list[_Size], slot: str, limits: _Size) -> list[str]:
    """Return in words what a worker has more of after each round but one, and by more than the limit at the end."""
    found = []
    for name, words in _WORDS.items():
        values = [getattr(size, name) for size in sizes]
        rises = sum(later > before for before, later in pairwise(values))
        if rises >= _ROUNDS - 1 and values[-1] - values[0] > getattr(limits, name):
            found.append(f"{slot}: {words} have grown in each round: {' -> '.join(map(str, values))}")
    return found
