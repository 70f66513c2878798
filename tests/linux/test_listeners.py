"""Listeners: bound exclusively, shared with nobody but our own orphans, and with no more rights than who asks has."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prefork import MisuseError, WorldError
from prefork._core.plan import Listener
from prefork._linux.listeners import Circumstances, Listeners
from prefork._linux.privileges import Identity

ANY = Listener("http", "tcp://127.0.0.1:0")


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    with closing(Listeners(Circumstances())) as made:
        yield made


def shared(listeners: Listeners, listener: Listener) -> socket.socket:
    """The socket that a worker would be given."""
    return listeners.give(listener, "web/0", os.getpid())


def port(listeners: Listeners, listener: Listener) -> int:
    number: int = shared(listeners, listener).getsockname()[1]
    return number


def test_a_listener_accepts_does_not_block_and_is_not_inherited(listeners: Listeners) -> None:
    listeners.bind([ANY])
    with socket.create_connection(("127.0.0.1", port(listeners, ANY)), timeout=10):
        sock = shared(listeners, ANY)
        sock.accept()[0].close()
        assert not os.get_blocking(sock.fileno())
        assert not os.get_inheritable(sock.fileno())


def test_a_port_in_use_is_refused_even_if_both_would_share_it(listeners: Listeners) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = Listener("http", f"tcp://127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(WorldError, match=r"cannot listen on tcp://127.* \(http\): Address already in use"):
            listeners.bind([taken])


def test_a_stranger_cannot_share_our_port_but_our_successor_can(listeners: Listeners) -> None:
    listeners.bind([ANY])
    ours = Listener("http", f"tcp://127.0.0.1:{port(listeners, ANY)}")
    with closing(Listeners(Circumstances())) as stranger, pytest.raises(WorldError, match="in use"):
        stranger.bind([ours])
    with closing(Listeners(Circumstances(beside_orphans=True))) as successor:
        successor.bind([ours])
        assert port(successor, ours) == port(listeners, ANY)


def test_a_successor_gets_all_that_is_new(listeners: Listeners) -> None:
    listeners.bind([ANY])
    number = port(listeners, ANY)
    ours = Listener("http", f"tcp://127.0.0.1:{number}")
    with closing(Listeners(Circumstances(beside_orphans=True))) as successor:
        successor.bind([ours])
        assert arrived(number, shared(listeners, ANY), shared(successor, ours)) == [0, 64]
        listeners.close()
        assert arrived(number, shared(successor, ours)) == [64]
        successor.orphans_ended()
        assert arrived(number, shared(successor, ours)) == [64]


def arrived(number: int, *sockets: socket.socket) -> list[int]:
    """Connect 64 times; return how many of them came to each socket."""
    clients = [socket.create_connection(("127.0.0.1", number), timeout=10) for _ in range(64)]
    counts = [len(list(iter(lambda sock=sock: accepted(sock), False))) for sock in sockets]  # type: ignore[misc]
    for client in clients:
        client.close()
    return counts


def accepted(sock: socket.socket) -> bool:
    """Whether a connection was waiting; it is closed."""
    try:
        sock.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_all_are_bound_or_none(listeners: Listeners) -> None:
    with pytest.raises(MisuseError, match="no address"):
        listeners.bind([ANY, Listener("odd", "http://127.0.0.1:1")])
    with pytest.raises(KeyError):
        shared(listeners, ANY)


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1:80", "tcp://127.0.0.1", "tcp://:99999", "tcp://h:x", "unix://", "http://127.0.0.1:1"]
)
def test_what_is_no_address_is_refused_by_name(listeners: Listeners, address: str) -> None:
    with pytest.raises(MisuseError, match=r"\(odd\) is no address"):
        listeners.bind([Listener("odd", address)])


def test_an_unknown_host_is_the_worlds_fault(listeners: Listeners) -> None:
    with pytest.raises(WorldError, match=r"tcp://no\.such\.host\.invalid:80 \(http\)"):
        listeners.bind([Listener("http", "tcp://no.such.host.invalid:80")])


def test_a_stale_socket_is_replaced_a_live_one_and_a_file_are_not(listeners: Listeners, tmp_path: Path) -> None:
    path = tmp_path / "s"
    local = Listener("local", f"unix://{path}")
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen()
        with pytest.raises(WorldError, match="in use"):
            listeners.bind([local])
    listeners.bind([local])
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listeners.unbind([local])
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(WorldError, match="not a socket"):
        listeners.bind([local])
    assert path.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights that an application must not have")
def test_an_unprivileged_mold_gets_no_more_than_its_user_may(tmp_path: Path) -> None:
    nobody = Identity(65534, 65534)
    tmp_path.chmod(0o755)
    for directory in tmp_path.parents[:2]:
        directory.chmod(0o755)
    with closing(Listeners(Circumstances(identity=nobody))) as asked:
        with pytest.raises(WorldError, match="a privileged port"):
            asked.bind([Listener("http", "tcp://127.0.0.1:80")])
        with pytest.raises(WorldError, match="Permission denied"):
            asked.bind([Listener("local", f"unix://{tmp_path}/s")])
        mine = tmp_path / "mine"
        mine.mkdir()
        os.chown(mine, 65534, 65534)
        asked.bind([Listener("local", f"unix://{mine}/s")])
        assert (mine / "s").stat().st_uid == 65534
        assert os.geteuid() == 0
