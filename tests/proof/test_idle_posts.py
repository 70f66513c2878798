"""POSTs through nginx on connections that were idle for 4 to 76 seconds: none is answered 502, on any server.

nginx closes an idle connection after 75 seconds, the server after its default of 75; nginx sends a POST once only. Each
client has an upstream of its own, so that the connection behind nginx is idle for as long as the one before it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from adapters.served import SERVERS
from proof.proxied import daemon, listening, nginx, open_start, program
from proof.through import PROXY
from support import PATIENCE
from system.daemons import free_port

CHAINS = 500
"""Clients of each server; each sends four POSTs after idle times that are 160 seconds together."""
SHORTEST, LONGEST, KEPT = 4.0, 76.0, 75.0
EDGE = 0.05
"""Seconds about the end of the connection, at which a quarter of the POSTs is sent."""
BODY = b"x" * 100


@dataclass
class Told:
    """Of a server: the statuses of the POSTs, and the idle times after which nginx used another connection."""

    statuses: Counter[int] = field(default_factory=Counter)
    renewed: list[float] = field(default_factory=list)


def configuration(port: int, listens: int) -> str:
    upstreams = "".join(
        f"upstream u{number} {{ server {PROXY}:{port}; keepalive 1; keepalive_timeout {KEPT:.0f}s; }}\n"
        for number in range(CHAINS)
    )
    return (
        f"{upstreams}server {{ listen {PROXY}:{listens} backlog=4096; keepalive_timeout 600s; proxy_http_version 1.1;"
        ' proxy_set_header Connection ""; location ~ ^/u(\\d+)(/.*)$ { proxy_pass http://u$1$2; } }\n'
    )


class Chain:
    """A client, and the connection that nginx keeps for it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self._reader, self._writer, self._number = reader, writer, number

    async def post(self) -> tuple[int, bytes]:
        """Return the status, and nginx's own port of the connection behind it, as the application sees it."""
        head = f"POST /u{self._number}/peer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(BODY)}\r\n\r\n"
        self._writer.write(head.encode() + BODY)
        answer = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE)
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await self._reader.readexactly(int(length.split(b":")[1]))
        return int(answer.split()[1]), body.partition(b'"port": ')[2].partition(b",")[0]


async def play(listens: int, number: int, told: Told) -> None:
    """Send four POSTs; the times of two are together those of a connection that begins and one that ends."""
    some, edge = random.uniform(SHORTEST, LONGEST), KEPT + random.uniform(-EDGE, EDGE)
    await asyncio.sleep(random.uniform(0, 8))
    reader, writer = await asyncio.open_connection(PROXY, listens)
    chain = Chain(reader, writer, number)
    _, port = await chain.post()
    for idle in (some, SHORTEST + LONGEST - some, edge, SHORTEST + LONGEST - edge):
        await asyncio.sleep(idle)
        status, after = await chain.post()
        told.statuses[status] += 1
        if status == 200 and port and after != port:
            told.renewed.append(idle)
        port = after
    writer.close()


async def play_all(ports: list[int], told: list[Told]) -> None:
    async with asyncio.TaskGroup() as group:
        for listens, each in zip(ports, told, strict=True):
            for number in range(CHAINS):
                group.create_task(play(listens, number, each))


@pytest.mark.timeout(600)
def test_no_post_after_an_idle_time_is_answered_502() -> None:
    program("nginx")
    told, ports = [Told() for _ in SERVERS], []
    with ExitStack() as stack:
        for server in SERVERS:
            start = stack.enter_context(open_start())
            adapted = stack.enter_context(daemon(start, server))
            ports.append(free_port())
            listening(nginx(start, configuration(adapted.port, ports[-1])), ports[-1])
        asyncio.run(play_all(ports, told))
    for server, each in zip(SERVERS, told, strict=True):
        # granian's WSGI does not say which port a client has.
        others = f"{len(each.renewed)} on another connection, the first after {min(each.renewed, default=0):.3f} s"
        print(f"{'-'.join(server)}: {dict(each.statuses)}; {others}")
    assert [each.statuses for each in told] == [Counter({200: 4 * CHAINS})] * len(SERVERS)
    assert all(idle > KEPT - EDGE for each in told for idle in each.renewed)
