"""A real nginx in front of each server, by the configuration of docs/proxies.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapters.served import ASGI, SERVERS
from proof.proxied import Places, documented, front, nginx, nginx_stream, program, stream_module
from proof.through import PROXY, Front
from support import Running, Start


def by_tcp(start: Start, places: Places) -> Running:
    return started(start, places, f"{PROXY}:{places.port}")


def by_unix(start: Start, places: Places) -> Running:
    return started(start, places, f"unix:{places.path}")


def started(start: Start, places: Places, upstream: str) -> Running:
    values = {
        "unix:/run/shop.sock": upstream,
        "listen 443 ssl;": f"listen {PROXY}:{places.secure} ssl; listen {PROXY}:{places.plain};",
        "/etc/shop/tls.crt": str(places.certificate),
        "/etc/shop/tls.key": str(places.certificate),
    }
    return nginx(start, documented("nginx", values))


@pytest.fixture(scope="module", params=SERVERS, ids="-".join)
def behind(request: pytest.FixtureRequest) -> Iterator[Front]:
    program("nginx")
    with front(request.param, {"tcp": by_tcp, "unix": by_unix}) as made:
        yield made
        errors = [line for proxy in made.proxies.values() for line in proxy.running.err if "[error]" in line]
        assert not errors


def test_application_sees_scheme_and_client(behind: Front) -> None:
    behind.names_scheme_and_client()


@pytest.mark.parametrize("behind", ASGI, ids="-".join, indirect=True)
def test_websocket_is_passed_on(behind: Front) -> None:
    behind.passes_websockets()


def test_each_event_is_passed_on_at_once(behind: Front) -> None:
    behind.passes_each_event()


def test_five_reloads_under_load_lose_nothing(behind: Front) -> None:
    behind.loses_nothing_in_reloads()


def before_tcp(start: Start, places: Places) -> Running:
    """Pass on TCP, with a header of the PROXY protocol before it."""
    server = f"listen {PROXY}:{places.plain}; proxy_pass {PROXY}:{places.port}; proxy_protocol on;"
    return nginx_stream(start, f"server {{ {server} }}\n")


def test_stream_names_client_by_the_proxy_protocol() -> None:
    stream_module()
    with front(("uvicorn", "asgi"), {"stream": before_tcp}, proxy_protocol=True) as balanced:
        balanced.names_client_of_tcp()
        balanced.loses_nothing_in_reloads()
