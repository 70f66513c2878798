"""One daemon, three kinds of worker: four that serve, one scheduler, and one that works off a queue.

    python chat.py                     # or: prefork run chat:daemon

Talk to it with `nc 127.0.0.1 7000`: whatever you type comes back with a greeting. Change `greeting` in chat.toml and
reload with SIGHUP.
"""

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import prefork

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Config:
    """What chat.toml may say."""

    workers: int = 4
    greeting: str = "hello"
    address: str = "tcp://127.0.0.1:7000"
    queue: str = "queue.sqlite"


@dataclass(frozen=True)
class Chat(prefork.WorkerContext):
    """A worker that talks to clients: several of them, all alike."""

    id: int
    greeting: str = field(default="", compare=False)
    queue: str = field(default="", compare=False)


@dataclass(frozen=True)
class Scheduler(prefork.WorkerContext):
    """The one worker that does things by the clock: never two at a time."""

    queue: str = field(default="", compare=False)


@dataclass(frozen=True)
class Consumer(prefork.WorkerContext):
    """The worker that does what is in the queue."""

    queue: str = field(default="", compare=False)


daemon = prefork.Daemon("chat", config=prefork.toml_file(os.environ.get("CHAT_CONFIG", HERE / "chat.toml"), Config))


@daemon.plan
def plan(config: Config) -> prefork.Plan:
    """Say which workers should exist."""
    chats = prefork.Pool(lambda i: Chat(i, config.greeting, config.queue), size=config.workers, max=16)
    workers = [chats, Scheduler(config.queue), Consumer(config.queue)]
    return prefork.Plan(workers, listeners={"chat": config.address})


@daemon.worker(Chat, drain_timeout=10)
def chat(worker: prefork.Worker[Chat]) -> None:
    """Greet each client, and put what it writes into the queue."""
    for connection, address in worker.accept("chat"):
        with connection, worker.request(f"client {address}"):
            connection.settimeout(10)
            said = connection.makefile().readline().strip()
            put(worker.context.queue, said)
            connection.sendall(f"{worker.context.greeting} from {worker.key}: {said}\n".encode())


@daemon.worker(Scheduler, replace="old-first")
def schedule(worker: prefork.Worker[Scheduler]) -> None:
    """Put a tick into the queue every second."""
    while not worker.wait_draining(1):
        put(worker.context.queue, "tick")


@daemon.lifespan(Consumer)
def consuming(worker: prefork.Worker[Consumer]) -> Iterator[None]:
    """Make the queue before the consumer is ready."""
    with opened(worker.context.queue):
        pass
    yield


@daemon.worker(Consumer, replace="old-first")
def consume(worker: prefork.Worker[Consumer]) -> None:
    """Take what is in the queue, ten times a second."""
    while not worker.wait_draining(0.1):
        with opened(worker.context.queue) as queue:
            queue.execute("delete from said")


def opened(path: str) -> sqlite3.Connection:
    """Open the queue; it is a table of one column."""
    queue = sqlite3.connect(HERE / path, timeout=10)
    queue.execute("create table if not exists said (text text)")
    return queue


def put(path: str, text: str) -> None:
    """Add to the queue."""
    with opened(path) as queue:
        queue.execute("insert into said values (?)", [text])


if __name__ == "__main__":
    daemon.run()
