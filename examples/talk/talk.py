"""A chat over TCP on several workers: a client of one gets the messages of the clients of all.

    python talk.py                     # or: prefork run talk:daemon

Then `nc 127.0.0.1 7001` in two terminals.
"""

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import prefork

BUS = Path(os.environ.get("RUNTIME_DIRECTORY", tempfile.gettempdir())) / f"talk-{os.getuid()}"
"""A folder in which each worker has a socket, by which it hears the others."""
MOST_UNREAD = 1 << 20


@dataclass(frozen=True)
class Room(prefork.WorkerContext):
    """A worker that talks to clients: several of them, all alike."""

    id: int


daemon = prefork.Daemon("talk", listeners={"talk": os.environ.get("TALK_ADDRESS", "tcp://127.0.0.1:7001")})


@daemon.plan
def plan() -> list[prefork.Pool]:
    """Say which workers should exist."""
    return [prefork.Pool(Room, size=4)]


@daemon.worker(Room)
async def room(worker: prefork.AsyncWorker[Room]) -> None:
    """Pass on what clients say, to our own clients and to those of the other workers."""
    clients: set[asyncio.StreamWriter] = set()

    def heard(line: bytes) -> None:
        for client in clients:
            if client.transport.get_write_buffer_size() > MOST_UNREAD:
                client.transport.abort()  # a client that does not read
            client.write(line)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.add(writer)
        try:
            while line := await reader.readline():
                bus.say(line)
            if worker.draining:  # what it reads has ended because we are going, and not because it is
                writer.write(b"* this room closes: connect again\n")
        finally:
            clients.discard(writer)

    bus = await Bus.join(heard)
    await worker.serve_asyncio(talk, "talk")
    bus.leave()


class Bus(asyncio.DatagramProtocol):
    """How workers hear each other: each has a Unix datagram socket, named after its process."""

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self.hear = hear
        self.sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sender.setblocking(False)

    @classmethod
    async def join(cls, hear: Callable[[bytes], None]) -> "Bus":
        """Hear what is said from now on."""
        BUS.mkdir(mode=0o700, parents=True, exist_ok=True)
        make = asyncio.get_running_loop().create_datagram_endpoint
        _, bus = await make(lambda: cls(hear), local_addr=str(BUS / str(os.getpid())), family=socket.AF_UNIX)
        return bus

    def datagram_received(self, line: bytes, _: object) -> None:
        """Take what another worker, or this one, has said."""
        self.hear(line)

    def say(self, line: bytes) -> None:
        """Tell all workers, those of both generations during a reload."""
        for other in BUS.iterdir():
            try:
                self.sender.sendto(line, str(other))
            except ConnectionRefusedError:
                other.unlink(missing_ok=True)  # what a worker that was killed has left
            except (FileNotFoundError, BlockingIOError):
                pass  # It has just gone, or has more to read already than it can: a chat can do without.

    def leave(self) -> None:
        """Be heard no more."""
        (BUS / str(os.getpid())).unlink(missing_ok=True)


if __name__ == "__main__":
    daemon.run()
