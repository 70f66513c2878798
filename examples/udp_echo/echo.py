"""UDP echo on several workers, each with a queue of its own.

    python echo.py                     # or: prefork run echo:daemon

Then `nc -u 127.0.0.1 7002`.
"""

import asyncio
import os
import socket
from dataclasses import dataclass

import prefork

ADDRESS = os.environ.get("ECHO_ADDRESS", "udp://127.0.0.1:7002")


@dataclass(frozen=True)
class Echo(prefork.WorkerContext):
    """A worker that answers datagrams."""

    id: int


# Sharded: one client's datagrams all go to one worker, which may remember it.
daemon = prefork.Daemon("echo", listeners={"echo": prefork.Listener(ADDRESS, sharing="sharded")})


@daemon.plan
def plan() -> list[prefork.Pool]:
    """Say which workers should exist."""
    return [prefork.Pool(Echo, size=4)]


@daemon.worker(Echo)
async def echo(worker: prefork.AsyncWorker[Echo]) -> None:
    """Answer until asked to drain, and then what still waits if no other worker will answer it."""
    listener = worker.listener("echo")
    make = asyncio.get_running_loop().create_datagram_endpoint
    transport, _ = await make(lambda: Answers(worker), sock=listener.dup())
    await worker.wait_draining()
    transport.close()
    if worker.must_drain_backlog:
        empty(worker, listener)


class Answers(asyncio.DatagramProtocol):
    """A protocol as asyncio knows it."""

    def __init__(self, worker: prefork.AsyncWorker[Echo]) -> None:
        self.worker = worker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to answer with."""
        self.transport = transport

    def datagram_received(self, data: bytes, client: object) -> None:
        """Answer, and count it."""
        with self.worker.request("echo"):
            self.transport.sendto(answer(self.worker, data), client)


def answer(worker: prefork.AsyncWorker[Echo], data: bytes) -> bytes:
    """Say who answers what."""
    return f"{worker.key}: ".encode() + data


def empty(worker: prefork.AsyncWorker[Echo], listener: socket.socket) -> None:
    """Answer what waits in the queue of a worker that is scaled away, or of a daemon that ends."""
    while True:
        try:
            data, client = listener.recvfrom(65536)
        except BlockingIOError:
            return
        listener.sendto(answer(worker, data), client)


if __name__ == "__main__":
    daemon.run()
