"""Connections and open databases that all workers would share after the fork, and get each other's answers from.

What ends by itself in a fork is left alone: idle connections of pools that notice the fork, and those that are closed
here, before it, since their pool opens others when it needs them. So are datagrams, which arrive whole: a log or a
counter that all workers send to is what such a socket is made for.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from ..._errors import UsageError
from ..._records.record import record
from . import other_end
from .holders import Holder, holders, objects_of
from .origins import Origins
from .repair import executors

_BY_MULTIPROCESSING = "/pymp-"
"""In the path of a manager's socket: its proxies connect again in a fork (`util.register_after_fork`)."""


@record
class Shared:
    """What workers would share: where it leads, the object that holds it, and the place; and this in words."""

    peer: str
    holder: Holder | None
    place: str
    what: str

    def __str__(self) -> str:
        held = self.holder.words if self.holder else "an object that no module holds"
        return f"{held}, from {self.place}, {self.what}" if self.place else f"{held} {self.what}"


def refuse_shared(inherited: Collection[str], origins: Origins, allowed: Collection[str]) -> None:
    """Raise UsageError if workers would share something that is not `allowed`, by the name of its object or its peer.

    `inherited` are the links of descriptors that this process had before the import.
    """
    gc.unfreeze()  # After an earlier plan: what is frozen is not listed.
    found = _shared(inherited, origins)
    if found and _close_idle(found):
        found = _shared(inherited, origins)
    refused = [each for each in found if not _is_allowed(each, allowed)]
    if not refused:
        return
    first = refused[0]
    name = first.holder.name if first.holder else first.peer
    raise UsageError(
        "\n".join(map(str, refused)) + "\n"
        "All workers would share it after the fork, and get each other's answers. Open it in each worker: in its "
        "lifespan, or at the first use.\n"
        'Or let each worker import by itself (--no-preload; in code: spawn="exec"), or allow it '
        f"(--allow-shared {name})."
    )


def _is_allowed(shared: Shared, allowed: Collection[str]) -> bool:
    return shared.peer in allowed or (shared.holder is not None and shared.holder.name in allowed)


def _shared(inherited: Collection[str], origins: Origins) -> list[Shared]:
    opened = other_end.links()
    known, peers = _of_multiprocessing(), {}
    for descriptor, link in opened.items():
        if descriptor > 2 and link not in inherited and descriptor not in known and (peer := _peer(descriptor, opened)):
            peers[descriptor] = peer
    return [*_pools(), *(_named(peers, origins) if peers else ())]


def _pools() -> Iterator[Shared]:
    """Yield the pools of processes that have been used: calls from a worker would be lost, or answered to another."""
    cls = getattr(sys.modules.get("multiprocessing.pool"), "Pool", None)
    pools = [each for each in gc.get_objects() if issubclass(type(each), cls)] if cls else []
    used = [each for each in executors("process", "ProcessPoolExecutor") if each._processes]
    found = [*used, *(each for each in pools if getattr(each, "_state", "") == "RUN")]
    held = holders(found) if found else {}
    for each in found:
        holder = held.get(id(each))
        place = holder.place() if holder else ""
        yield Shared("", holder, place, "has started processes or threads, which answer this process only")


def _peer(descriptor: int, opened: Mapping[int, str]) -> str:
    """Return what a descriptor shares with another process or a file; empty for nothing that matters."""
    try:
        if other_end.holds_sqlite(descriptor, opened[descriptor]):
            return opened[descriptor]
        end = other_end.other_end(descriptor, opened)
    except OSError:
        return ""  # A thread has closed it.
    return "" if end is None or end.datagrams or _BY_MULTIPROCESSING in end.name else end.name


def _of_multiprocessing() -> set[int]:
    """Return the descriptors by which multiprocessing watches its processes: workers do not read them."""
    known: set[int] = set()
    for module, attribute, name in (
        ("multiprocessing.resource_tracker", "_resource_tracker", "_fd"),
        ("multiprocessing.forkserver", "_forkserver", "_forkserver_alive_fd"),
    ):
        descriptor = getattr(getattr(sys.modules.get(module), attribute, None), name, None)
        known |= {descriptor} if isinstance(descriptor, int) else set()
    for child in list(getattr(sys.modules.get("multiprocessing.process"), "_children", ())):
        popen = getattr(child, "_popen", None)
        known.add(getattr(popen, "sentinel", -1))
        known |= set(getattr(getattr(popen, "finalizer", None), "_args", None) or ())
    return known


def _named(peers: Mapping[int, str], origins: Origins) -> Iterator[Shared]:
    objects = list(objects_of(peers))
    databases = [each for each in gc.get_objects() if _is_of(each, "sqlite3", "Connection")]
    objects += [(descriptor, each) for descriptor in peers for each in databases if peers[descriptor] in _files(each)]
    found = holders(value for _, value in objects)
    for descriptor, peer in peers.items():
        held = [found[id(value)] for number, value in objects if number == descriptor and id(value) in found]
        # The longest way is that of the innermost object, the socket itself: a pool stands on it.
        holder = max(held, key=lambda each: len(each.chain), default=None)
        if holder is not None and _opens_again(holder):
            continue
        place = origins.connections.get(os.fstat(descriptor).st_ino, "")
        place = place or (holder.place() if holder else "")
        yield Shared(peer, holder, place, f"is open to {peer} (descriptor {descriptor})")


def _files(database: Any) -> list[str]:
    try:
        return [row[2] for row in database.execute("PRAGMA database_list")]
    except Exception:  # It is closed, or belongs to another thread.
        return []


def _is_of(value: Any, module: str, name: str) -> bool:
    of = type(value)
    return of.__name__ == name and of.__module__.startswith(module)


def _opens_again(holder: Holder) -> bool:
    """Whether it is an idle connection of a pool that opens others in a forked process."""
    pools = [each for each in holder.chain if type(each).__module__ == "redis.connection"]
    idle = [getattr(pool, "_available_connections", None) for pool in pools]
    return any(each in listed for each in pools for listed in idle if listed) or any(
        type(each).__module__.startswith("pymongo.") for each in holder.chain
    )


def _close_idle(found: Iterable[Shared]) -> bool:
    """Close the idle connections of pools that open others when they need them; return whether there are any."""
    closed = False
    for shared in found:
        for value in shared.holder.chain if shared.holder else ():
            for of in type(value).__mro__:
                if close := _CLOSERS.get((of.__module__, of.__name__)):
                    close(value)
                    closed = True
    return closed


def _empty(pool: Any) -> None:
    """Close what a pool of urllib3 (requests, botocore) has in its queue, and leave as many empty places."""
    connections = []
    while pool.pool is not None and not pool.pool.empty():
        connections.append(pool.pool.get(block=False))
    for connection in reversed(connections):
        if connection is not None:
            connection.close()
        pool.pool.put(None, block=False)


def _hang_up(handler: Any) -> None:
    """Close a logging handler's connection, which opens it again for the next record."""
    with handler.lock:
        if handler.sock is not None:
            handler.sock.close()
            handler.sock = None


_CLOSERS: Mapping[tuple[str, str], Callable[[Any], object]] = {
    ("sqlalchemy.engine.base", "Engine"): lambda engine: engine.dispose(),
    ("urllib3.connectionpool", "HTTPConnectionPool"): _empty,
    ("logging.handlers", "SocketHandler"): _hang_up,
}
"""Module and name of a class -> what closes its idle connections, and leaves it able to open others."""
