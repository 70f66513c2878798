"""A daemon as a user declares it: checked by mypy and by pyright, strictly, and never run."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import assert_type

import prefork


@dataclass(frozen=True)
class Settings:
    """What the configuration file has."""

    greeting: str = "hello"
    workers: int = 4


@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    """A worker with an identity and a parameter."""

    id: int
    greeting: str = field(default="", compare=False)


@dataclass(frozen=True)
class Scheduler(prefork.WorkerContext, kind="scheduler"):
    """A single one."""


daemon = prefork.Daemon(
    "typed",
    config=prefork.toml_file("typed.toml", Settings, watch=True),
    listeners={"http": "tcp://127.0.0.1:8000", "udp": prefork.Listener("udp://127.0.0.1:8001", sharing="sharded")},
    share="freeze",
    spares=2,
    log_format="json",
    import_timeout=10,
)


@daemon.plan
def plan(settings: Settings) -> prefork.Plan:
    """Return contexts and a pool."""
    pool = prefork.Pool(Web, size=settings.workers, max=16, default=True)
    assert_type(pool.contexts(), list[prefork.WorkerContext])
    return prefork.Plan([Scheduler(), pool], {"http": "tcp://127.0.0.1:8000"})


@daemon.worker(Web, drain_timeout=60, replace="new-first", limits={"nofile": (1024, 4096)}, affinity=[0, 1])
def web(worker: prefork.Worker[Web]) -> None:
    """Use all that a worker has."""
    assert_type(worker.context, Web)
    assert_type(worker.context.greeting, str)
    assert_type(worker.key, str)
    assert_type(worker.generation, int)
    assert_type(worker.draining, bool)
    assert_type(worker.listener("http"), socket.socket)
    worker.ready()
    for connection, _address in worker.accept("http"):
        assert_type(connection, socket.socket)
        with connection, worker.request("GET /"):
            prefork.beat()
    assert_type(worker.wait_draining(1.5), bool)
    worker.request_replacement("old")


@daemon.worker(Scheduler, replace="old-first", restart="on-failure")
async def scheduler(worker: prefork.AsyncWorker[Scheduler]) -> None:
    """Use what an asynchronous one has."""
    assert_type(worker.context, Scheduler)
    await worker.serve_asyncio(greet, "http", window=0.5)
    async for connection, _address in worker.accept("http"):
        assert_type(connection, socket.socket)
    assert_type(await worker.wait_draining(), bool)


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be a handler of streams."""
    writer.write(await reader.readline())


@daemon.lifespan(Web)
def around(worker: prefork.Worker[Web]) -> Iterator[None]:
    """Surround a worker's work."""
    yield


@daemon.before_fork
def close_pools() -> None:
    """Be called in the mold."""


@daemon.warm
def fill_caches() -> None:
    """Be called in the mold, too."""


@prefork.on_worker_start
def started() -> None:
    """Be called in each worker."""


@prefork.on_worker_stop
async def stopped() -> None:
    """Be called in each worker, on its loop."""
    await prefork.wait_draining()
