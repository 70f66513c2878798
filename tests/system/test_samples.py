"""The three samples, as a newcomer would run them."""

from __future__ import annotations

import signal
import socket
import urllib.request

import pytest
from support import Running, Start, command_line, free_port, gone


def fetch(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
        body: bytes = answer.read()
        return body


def by_id(web: Running) -> dict[str, int]:
    """Return the web sample's workers: the last argument (`id=0`) -> pid."""
    return {command_line(pid)[-1]: pid for pid in web.children()}


def test_simple(start: Start) -> None:
    simple = start.sample("prefork-sample-simple")
    simple.expect(f"^Please send SIGHUP to {simple.pid} to relaunch a worker$")
    for _ in range(3):
        simple.expect("""^"Hello. I'm a worker."$""")
        simple.send(signal.SIGHUP)
    assert simple.stop() == 0
    assert simple.err == []


def test_various_workers(start: Start) -> None:
    various = start.sample("prefork-sample-various-workers")
    various.expect(f"^Please send SIGHUP to {various.pid} to relaunch the workers$")
    for _ in range(2):
        various.expect_each(["^Hello. I'm a reader.$", "^Hello. I'm a writer. Hello. I'm a writer.$"])
        various.send(signal.SIGHUP)
    assert various.stop() == 0
    assert various.err == []
