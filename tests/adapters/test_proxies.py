"""What every server's application sees of a client behind a proxy, and below a path."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

import pytest
import websockets.sync.client

from adapters.served import ASGI, BRIEF, SERVERS, WSGI, Adapted, Shared, read_all
from support import PATIENCE

PROXY, STRANGER = "127.0.0.2", "127.0.0.1"
BEHIND: dict[str, Any] = BRIEF | {"forwarded_allow_ips": [PROXY, "10.0.0.0/8"], "root_path": "/shop"}
REPORTED = {"X-Forwarded-For": "1.1.1.1, 203.0.113.9:4711, 10.0.0.5", "X-Forwarded-Proto": "https"}


def seen(adapted: Adapted, path: str = "/peer", source: str = PROXY, **headers: str) -> dict[str, Any]:
    """Return what the application sees of a request from one of the loopback's addresses."""
    client = http.client.HTTPConnection("127.0.0.1", adapted.port, timeout=PATIENCE, source_address=(source, 0))
    client.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    found = json.loads(client.getresponse().read())
    client.close()
    return {**found, "port": int(found["port"] or 0), "server": int(found["server"])}


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_trusted_proxy_reports_client_scheme_and_port(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BEHIND) as adapted:
        found = seen(adapted, **REPORTED, **{"X-Forwarded-Port": "443"})
        assert (found["host"], found["port"], found["scheme"], found["server"]) == ("203.0.113.9", 4711, "https", 443)
        assert found.get("https", "on") == "on"
        found = seen(adapted, Forwarded='for="[2001:db8::9]";proto=https, for=10.0.0.5')
        assert (found["host"], found["port"], found["scheme"]) == ("2001:db8::9", 0, "https")
        assert found["server"] == adapted.port
        found = seen(adapted, **{"X-Forwarded-For": "unknown", "X-Forwarded-Proto": "gopher", "X-Forwarded-Port": "x"})
        assert (found["host"], found["scheme"], found["server"]) == (PROXY, "http", adapted.port)


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_strangers_headers_reach_the_application_alone(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BEHIND) as adapted:
        headers = {"forwarded": "for=1.1.1.1;proto=https", "x-forwarded-for": "1.1.1.1", "x-forwarded-proto": "https"}
        headers |= {"x-forwarded-port": "443", "x-forwarded-host": "evil.example"}
        plain, found = seen(adapted, source=STRANGER), seen(adapted, source=STRANGER, **headers)
        assert found["host"] == STRANGER
        assert found["port"] != plain["port"] or server == ("granian", "wsgi"), "which does not know it"
        assert found | {"port": 0, "headers": {}} == plain | {"port": 0, "headers": {}}
        assert found["headers"] == headers, "none is removed or added"
        assert plain["headers"] == {}


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_proxy_on_a_unix_socket_is_trusted(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BEHIND) as adapted, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(adapted.directory / "http.sock"))
        client.sendall(b"GET /peer HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n")
        client.sendall(b"X-Forwarded-Proto: https\r\n\r\n")
        answer = b""
        while data := client.recv(65536):
            answer += data
        found = json.loads(answer[answer.index(b"{") : answer.rindex(b"}") + 1])
        assert (found["host"], found["scheme"]) == ("203.0.113.9", "https")


@pytest.mark.parametrize("server", WSGI, ids="-".join)
def test_wsgi_environ_names_both_ends_of_a_connection(shared: Shared, server: tuple[str, str]) -> None:
    names = ("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT", "REMOTE_HOST")
    with shared.use(server, **BEHIND) as adapted:
        path = str(adapted.directory / "http.sock")
        ends = [("127.0.0.1", str(adapted.port), PROXY), (path, "0", "")]
        for family, to, found in (
            (socket.AF_INET, ("127.0.0.1", adapted.port), ends[0]),
            (socket.AF_UNIX, path, ends[1]),
        ):
            with socket.socket(family) as client:
                client.settimeout(PATIENCE)
                if family == socket.AF_INET:
                    client.bind((PROXY, 0))
                client.connect(to)
                client.sendall(b"GET /environ HTTP/1.0\r\n\r\n")
                environ = json.loads(read_all(client).partition(b"\r\n\r\n")[2])
                assert tuple(environ[name] for name in names[:3]) == found
                assert environ.get("REMOTE_PORT", "1").isdecimal()
                assert environ.get("REMOTE_HOST", found[2]) == found[2]


@pytest.mark.parametrize("server", ASGI, ids="-".join)
def test_websocket_behind_a_trusted_proxy_is_secure(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BEHIND) as adapted:
        for source, host, scheme in (PROXY, "203.0.113.9", "wss"), (STRANGER, STRANGER, "ws"):
            sock = socket.create_connection(("127.0.0.1", adapted.port), PATIENCE, source_address=(source, 0))
            uri = f"ws://127.0.0.1:{adapted.port}/peer"
            with websockets.sync.client.connect(uri, sock=sock, additional_headers=REPORTED) as client:
                client.send("who am I?")
                found = json.loads(client.recv(PATIENCE))
                assert (found["host"], found["scheme"]) == (host, scheme)
                assert (found["root"], found["path"]) == ("/shop", "/shop/peer")


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
@pytest.mark.parametrize(
    ("asked", "below"),
    [
        ("/peer", "/peer"),
        ("/shop/peer", "/peer"),
        ("/shopping/peer", "/shopping/peer"),
        ("/a%20b%2Fc/peer", "/a b/c/peer"),
        ("/shop/sh%C3%B6p/peer", "/sh\xf6p/peer"),
    ],
)
def test_root_path_is_cut_at_a_border(shared: Shared, server: tuple[str, str], asked: str, below: str) -> None:
    with shared.use(server, **BEHIND) as adapted:
        found = seen(adapted, asked)
        assert found["root"] == "/shop"
        if server in ASGI:
            raw = asked if asked.startswith("/shop/") else "/shop" + asked
            assert (found["path"], found["raw"]) == ("/shop" + below, raw)
        else:
            assert found["path"].encode("latin-1").decode() == below
