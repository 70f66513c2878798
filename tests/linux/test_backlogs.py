"""How many connections wait at each listening address, as the kernel tells any user."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from prefork._linux.listening import backlogs as reader
from prefork._linux.listening.backlogs import Backlog, backlogs


def listening(family: int, address: object, backlog: int) -> socket.socket:
    sock = socket.socket(family)
    if family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(address)  # type: ignore[arg-type]
    sock.listen(backlog)
    return sock


def connected(sock: socket.socket, count: int) -> list[socket.socket]:
    clients = [socket.socket(sock.family) for _ in range(count)]
    for client in clients:
        client.connect(sock.getsockname())
    return clients


@pytest.mark.parametrize(
    ("family", "host", "shown"), [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (10, "::1", "[::1]")]
)
def test_connections_that_wait_are_counted_at_their_address(family: int, host: str, shown: str) -> None:
    if family == socket.AF_INET6 and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with listening(family, (host, 0), 7) as sock:
        clients = connected(sock, 3)
        port = sock.getsockname()[1]
        assert backlogs()[f"tcp://{shown}:{port}"] == Backlog(3, 3, 7)
        for client in clients:
            client.close()
    assert f"tcp://{shown}:{port}" not in backlogs()


def test_sockets_that_share_a_port_are_one_address() -> None:
    with listening(socket.AF_INET, ("127.0.0.1", 0), 9) as one, listening(socket.AF_INET, one.getsockname(), 9):
        clients = connected(one, 8)
        found = backlogs()["tcp://127.0.0.1:" + str(one.getsockname()[1])]
        assert (found.waiting, found.limit) == (8, 9)
        assert 4 <= found.longest <= 8
        for client in clients:
            client.close()


def test_unix_sockets_are_found_by_path_and_name(tmp_path: Path) -> None:
    abstract = f"prefork-test-{os.getpid()}"
    path = listening(socket.AF_UNIX, str(tmp_path / "a.sock"), 5)
    with path, listening(socket.AF_UNIX, f"\0{abstract}", 6):
        clients = connected(path, 2)
        found = backlogs()
        assert found[f"unix://{tmp_path}/a.sock"] == Backlog(2, 2, 5)
        assert found[f"unix://@{abstract}"] == Backlog(0, 0, 6)
        for client in clients:
            client.close()


def test_kernel_without_one_family_answers_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    real = list(reader._requests())
    unknown = bytes([socket.AF_APPLETALK, *real[0][1:]])
    monkeypatch.setattr(reader, "_requests", lambda: [unknown, *real])
    with listening(socket.AF_INET, ("127.0.0.1", 0), 4) as sock:
        assert f"tcp://127.0.0.1:{sock.getsockname()[1]}" in backlogs()


def test_many_listening_sockets_are_all_found() -> None:
    socks = [listening(socket.AF_INET, ("127.0.0.1", 0), 4) for _ in range(700)]
    found = backlogs()
    assert all(f"tcp://127.0.0.1:{sock.getsockname()[1]}" in found for sock in socks)
    for sock in socks:
        sock.close()
