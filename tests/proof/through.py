"""What is asked of a daemon through proxies, and has to be the same through each of them."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import websockets.sync.client

from adapters.served import Adapted
from load import Load
from support import PATIENCE, Running

CLIENT, PROXY = "127.0.0.3", "127.0.0.1"
"""Addresses: of a client that is not trusted, and of the proxy."""
FORGED = {"X-Forwarded-For": "1.1.1.1", "X-Forwarded-Proto": "http", "Forwarded": "for=9.9.9.9;proto=http"}
SAME = "/same"
RELOADS, SHARE = 5, 250


@dataclass(frozen=True)
class Proxy:
    """One that runs: its ports with and without TLS, and a context that trusts it; none, where it has no TLS."""

    running: Running
    secure: int
    plain: int
    context: ssl.SSLContext | None

    def connected(self) -> socket.socket:
        """Return a connection from an address that is not trusted."""
        port = self.secure if self.context else self.plain
        return socket.create_connection((PROXY, port), PATIENCE, source_address=(CLIENT, 0))

    def request(self, path: str, **headers: str) -> http.client.HTTPResponse:
        """Return the response to a request on a connection of its own, when its head has come."""
        client = http.client.HTTPConnection("localhost", timeout=PATIENCE)
        sock = self.connected()
        client.sock = self.context.wrap_socket(sock, server_hostname="localhost") if self.context else sock
        client.request("GET", path, headers={"Connection": "close", **headers})
        return client.getresponse()

    def peer(self, **headers: str) -> dict[str, Any]:
        """Return what the application sees of a client that has sent these headers."""
        with self.request("/peer", **headers) as response:
            found: dict[str, Any] = json.loads(response.read())
            return found


@dataclass(frozen=True)
class Front:
    """A daemon, and the proxies before it."""

    adapted: Adapted
    proxies: dict[str, Proxy]

    def names_scheme_and_client(self) -> None:
        for proxy in self.proxies.values():
            for headers in {}, FORGED:
                found = proxy.peer(**headers)
                assert (found["host"], found["scheme"]) == (CLIENT, "https"), found
                assert found.get("https", "on") == "on", "for WSGI"

    def names_client_of_tcp(self) -> None:
        for proxy in self.proxies.values():
            found = proxy.peer()
            assert (found["host"], found["scheme"]) == (CLIENT, "http"), found
            uri = f"ws://{PROXY}:{proxy.plain}/peer"
            with websockets.sync.client.connect(uri, sock=proxy.connected()) as talk:
                talk.send("who am I?")
                assert json.loads(talk.recv(PATIENCE))["host"] == CLIENT

    def passes_websockets(self) -> None:
        for proxy in self.proxies.values():
            sock = proxy.connected()
            with websockets.sync.client.connect("wss://localhost/peer", sock=sock, ssl=proxy.context) as talk:
                for _ in range(3):
                    talk.send("who am I?")
                    found = json.loads(talk.recv(PATIENCE))
                    assert (found["host"], found["scheme"]) == (CLIENT, "wss"), found

    def passes_each_event(self) -> None:
        for proxy in self.proxies.values():
            with proxy.request("/events") as response:
                assert response.readline() == b"data: first\n"
                self.adapted.release()
                assert b"data: second\n" in response.read()
            self.adapted.hold()

    def loses_nothing_in_reloads(self) -> None:
        with ExitStack() as stack:
            loads = [
                stack.enter_context(Load(proxy.plain, SAME.encode(), 8, path=SAME, keep=keep))
                for proxy in self.proxies.values()
                for keep in (False, True)
            ]
            for _ in range(RELOADS):
                self.adapted.running.send(signal.SIGHUP)
                self.adapted.running.expect(r"reload: done \(generation \d+\)", "err")
                for load in loads:
                    load.more(SHARE)
        print(f"{sum(load.answered for load in loads)} requests, {RELOADS} reloads")
        failures = [load.failures for load in loads]
        assert not any(failures), failures
