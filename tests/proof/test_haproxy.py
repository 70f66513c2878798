"""A real HAProxy in front of each server, by the configuration of docs/proxies.md, and with the PROXY protocol."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from adapters.acts import sockets
from adapters.served import ASGI, SERVERS, fetch
from proof.proxied import Places, documented, front, haproxy, program
from proof.through import PROXY, SAME, Front
from support import PATIENCE, Running, Start


def by_tcp(start: Start, places: Places) -> Running:
    return started(start, places, f"{PROXY}:{places.port}")


def by_unix(start: Start, places: Places) -> Running:
    return started(start, places, f"unix@{places.path}")


def started(start: Start, places: Places, backend: str) -> Running:
    secure = f"bind {PROXY}:{places.secure} ssl crt {places.certificate}"
    checks = "timeout check 30s\n    default-server inter 50ms fall 1"  # On a busy machine an answer takes its time.
    values = {
        "bind :443 ssl crt /etc/shop/both.pem": f"{secure}\n    bind {PROXY}:{places.plain}",
        "unix@/run/shop.sock": backend,
        "option httpchk GET /": f"option httpchk GET {SAME}\n    {checks}",
    }
    return haproxy(start, documented("HAProxy", values))


@pytest.fixture(scope="module", params=SERVERS, ids="-".join)
def behind(request: pytest.FixtureRequest) -> Iterator[Front]:
    program("haproxy")
    with front(request.param, {"tcp": by_tcp, "unix": by_unix}) as made:
        yield made
        down = [line for proxy in made.proxies.values() for line in proxy.running.err if "DOWN" in line]
        assert not down, "a check found a backend that is down"


def test_application_sees_scheme_and_client(behind: Front) -> None:
    behind.names_scheme_and_client()


@pytest.mark.parametrize("behind", ASGI, ids="-".join, indirect=True)
def test_websocket_is_passed_on(behind: Front) -> None:
    behind.passes_websockets()


def test_each_event_is_passed_on_at_once(behind: Front) -> None:
    behind.passes_each_event()


def test_five_reloads_under_load_lose_nothing(behind: Front) -> None:
    behind.loses_nothing_in_reloads()


def before_tcp(send: str, start: Start, places: Places) -> Running:
    """Pass on TCP, with a header of the PROXY protocol before it."""
    return haproxy(
        start,
        "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n"
        f"listen shop\n    bind {PROXY}:{places.plain}\n    server shop {PROXY}:{places.port} {send}\n",
    )


@pytest.fixture(scope="module")
def balanced() -> Iterator[Front]:
    program("haproxy")
    versions = {send: partial(before_tcp, send) for send in ("send-proxy", "send-proxy-v2")}
    with front(("uvicorn", "asgi"), versions, proxy_protocol=True) as made:
        yield made


def test_proxy_protocol_names_client_of_requests_and_websockets(balanced: Front) -> None:
    balanced.names_client_of_tcp()


def test_five_reloads_behind_the_proxy_protocol_lose_nothing(balanced: Front) -> None:
    balanced.loses_nothing_in_reloads()


IDLE = 65.0
"""Seconds without a request, after which a connection is used again."""
ESTABLISHED = "01"
"""A state in /proc/net/tcp."""


def keeping(start: Start, places: Places) -> Running:
    """Keep idle connections for a long time, and use any of them for any client."""
    return haproxy(
        start,
        "defaults\n    mode http\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n"
        f"listen shop\n    bind {PROXY}:{places.plain}\n    http-reuse always\n"
        f"    server shop {PROXY}:{places.port} pool-purge-delay 600s\n",
    )


def connections(front: Front) -> set[str]:
    """Return the addresses from which the daemon has connections."""
    return {row[2] for row in sockets(front.adapted.port) if row[3] == ESTABLISHED}


def ask(front: Front) -> str:
    client = http.client.HTTPConnection(PROXY, front.proxies["only"].plain, timeout=PATIENCE)
    try:
        return fetch(client, SAME)[1]
    finally:
        client.close()


def test_idle_connections_are_used_again_after_a_minute() -> None:
    program("haproxy")
    with ExitStack() as stack:
        fronts = [stack.enter_context(front(server, {"only": keeping})) for server in SERVERS]
        first = []
        for each in fronts:
            assert ask(each) == SAME
            first.append(connections(each))
        assert [len(found) for found in first] == [1] * len(SERVERS)
        time.sleep(IDLE)
        for each, found in zip(fronts, first, strict=True):
            assert ask(each) == SAME
            assert connections(each) == found, each
