"""Listeners: bound exclusively, shared only with our own orphans, and with the rights of the application's user."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from prefork import SystemFailure, UsageError
from prefork._core.plan import Listener
from prefork._linux.address import parse
from prefork._master.listeners.inherited import Given
from prefork._master.listeners.opened import BindOptions, Listeners
from prefork._master.listeners.refused import why_refused
from prefork._wire.launch import Identity

ANY = Listener("http", "tcp://127.0.0.1:0")


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    with closing(Listeners(BindOptions())) as made:
        yield made


def shared(listeners: Listeners, listener: Listener) -> socket.socket:
    """The socket that a worker would be given."""
    return listeners.give(listener, "web/0", os.getpid())


def port(listeners: Listeners, listener: Listener) -> int:
    number: int = shared(listeners, listener).getsockname()[1]
    return number


def test_listener_is_nonblocking_and_not_inherited(listeners: Listeners) -> None:
    listeners.bind([ANY])
    with socket.create_connection(("127.0.0.1", port(listeners, ANY)), timeout=10):
        sock = shared(listeners, ANY)
        sock.accept()[0].close()
        assert not os.get_blocking(sock.fileno())
        assert not os.get_inheritable(sock.fileno())


def test_port_in_use_is_refused_even_with_reuseport(listeners: Listeners) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = Listener("http", f"tcp://127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(
            SystemFailure, match=r"cannot listen on tcp://127.* \(http\): Address already in use"
        ) as error:
            listeners.bind([taken])
        assert f"in use: by pid {os.getpid()} (" in str(error.value)
        assert str(error.value).endswith(
            "; end that process, or choose another port, with -b (of the agent: --metrics) or in the program"
        )


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
def test_change_from_one_host_to_all_and_back_keeps_the_port(listeners: Listeners, scheme: str) -> None:
    with socket.socket(type=socket.SOCK_STREAM if scheme == "tcp" else socket.SOCK_DGRAM) as free:
        free.bind(("", 0))
        number = free.getsockname()[1]
    hosts = ["127.0.0.1", "*", "0.0.0.0", "127.0.0.2"]
    one, *others = (Listener("http", f"{scheme}://{host}:{number}") for host in hosts)
    listeners.bind([one])
    for other in others:
        listeners.bind([other])
        listeners.unbind([one])
        one = other
        assert port(listeners, one) == number
        if scheme == "tcp":
            host = "127.0.0.2" if "127.0.0.2" in one.address else "127.0.0.1"
            with socket.create_connection((host, number), timeout=10):
                shared(listeners, one).accept()[0].close()


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
def test_host_change_does_not_share_another_programs_port(listeners: Listeners, scheme: str) -> None:
    kind = socket.SOCK_STREAM if scheme == "tcp" else socket.SOCK_DGRAM
    with socket.socket(type=kind) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.2", 0))
        if scheme == "tcp":
            other.listen()
        number = other.getsockname()[1]
        listeners.bind([Listener("http", f"{scheme}://127.0.0.1:{number}")])
        with pytest.raises(SystemFailure, match="Address already in use"):
            listeners.bind([Listener("http", f"{scheme}://127.0.0.2:{number}")])


def test_port_is_shared_only_with_the_next_master(listeners: Listeners) -> None:
    listeners.bind([ANY])
    ours = Listener("http", f"tcp://127.0.0.1:{port(listeners, ANY)}")
    with closing(Listeners(BindOptions())) as other, pytest.raises(SystemFailure, match="in use"):
        other.bind([ours])
    with closing(Listeners(BindOptions(beside_orphans=True))) as successor:
        successor.bind([ours])
        assert port(successor, ours) == port(listeners, ANY)


def test_next_master_gets_all_new_connections(listeners: Listeners) -> None:
    listeners.bind([ANY])
    number = port(listeners, ANY)
    ours = Listener("http", f"tcp://127.0.0.1:{number}")
    with closing(Listeners(BindOptions(beside_orphans=True))) as successor:
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
    with pytest.raises(UsageError, match="not an address"):
        listeners.bind([ANY, Listener("odd", "http://127.0.0.1:1")])
    with pytest.raises(KeyError):
        shared(listeners, ANY)


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1:80", "tcp://127.0.0.1", "tcp://:99999", "tcp://h:x", "unix://", "http://127.0.0.1:1"]
)
def test_invalid_address_is_refused_by_listener_name(listeners: Listeners, address: str) -> None:
    with pytest.raises(UsageError, match=r"\(odd\) is not an address"):
        listeners.bind([Listener("odd", address)])


def test_unknown_host_is_a_system_failure(listeners: Listeners) -> None:
    with pytest.raises(SystemFailure, match=r"tcp://no\.such\.host\.invalid:80 \(http\)"):
        listeners.bind([Listener("http", "tcp://no.such.host.invalid:80")])


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_process_at_the_address_is_named(host: str, kind: socket.SocketKind) -> None:
    scheme = "tcp" if kind == socket.SOCK_STREAM else "udp"
    with socket.socket(type=kind) as other:
        other.bind((host, 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        number = other.getsockname()[1]
        for asked in "127.0.0.1", "*", "localhost":
            reason = why_refused(OSError(errno.EADDRINUSE, "used"), parse(f"{scheme}://{asked}:{number}"))
            assert reason.startswith(f"used: by pid {os.getpid()} ("), reason
        if host == "127.0.0.1":
            reason = why_refused(OSError(errno.EADDRINUSE, "used"), parse(f"{scheme}://127.0.0.3:{number}"))
            assert reason.startswith("used: by a process that is not visible here"), reason


def test_address_of_no_interface_is_refused_with_the_forms(listeners: Listeners) -> None:
    with pytest.raises(SystemFailure, match="no interface of this machine has it") as error:
        listeners.bind([Listener("http", "tcp://192.0.2.7:8000")])  # TEST-NET-1 of RFC 5737.
    assert str(error.value).endswith(
        "give 127.0.0.1:8000 for clients of this machine alone, or *:8000 for all its addresses, "
        "with -b (of the agent: --metrics) or in the program"
    )


def test_only_a_stale_socket_is_replaced(listeners: Listeners, tmp_path: Path) -> None:
    path = tmp_path / "s"
    local = Listener("local", f"unix://{path}")
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen()
        with pytest.raises(SystemFailure, match=f"Address already in use: by pid {os.getpid()} "):
            listeners.bind([local])
    listeners.bind([local])
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listeners.unbind([local])
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(SystemFailure, match="a file of this name exists that is not a socket"):
        listeners.bind([local])
    assert path.read_text() == "precious"
    with pytest.raises(SystemFailure, match="a file of this name exists that is not a socket"):
        listeners.bind([Listener("local", f"unix://{tmp_path}")])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights that an application must not have")
def test_unprivileged_mold_binds_with_its_users_rights(open_path: Path) -> None:
    nobody = Identity(65534, 65534)
    with closing(Listeners(BindOptions(identity=nobody))) as asked:
        with pytest.raises(SystemFailure, match="cannot bind ports below 1024"):
            asked.bind([Listener("http", "tcp://127.0.0.1:80")])
        with pytest.raises(SystemFailure, match="Permission denied"):
            asked.bind([Listener("local", f"unix://{open_path}/s")])
        mine = open_path / "mine"
        mine.mkdir()
        os.chown(mine, 65534, 65534)
        asked.bind([Listener("local", f"unix://{mine}/s")])
        assert (mine / "s").stat().st_uid == 65534
        assert os.geteuid() == 0


# What a root master does for an application that has given root up.

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights that an application must not have")
NOBODY = Identity(65534, 65534)


@needs_root
def test_operators_address_is_bound_with_the_masters_rights() -> None:
    where = f"tcp://127.0.0.1:{free_privileged_port()}"
    with closing(Listeners(BindOptions(identity=NOBODY))) as asked, pytest.raises(SystemFailure, match="below 1024"):
        asked.bind([Listener("http", where)])
    for sharing in ("shared", "sharded"):
        with closing(Listeners(BindOptions(identity=NOBODY, operator=frozenset([where])))) as asked:
            listener = Listener("http", where, sharing)
            asked.bind([listener])
            assert [asked.give(listener, f"web/{n}", n).getsockname()[1] for n in (1, 2)] == [port_of(where)] * 2


def port_of(where: str) -> int:
    return int(where.rpartition(":")[2])


def free_privileged_port() -> int:
    for number in range(1000, 900, -1):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", number)):
                return number
    raise AssertionError("no port is free")


@needs_root
def test_shards_belong_to_the_applications_user() -> None:
    sharded = Listener("http", "tcp://127.0.0.1:0", "sharded")
    with closing(Listeners(BindOptions(identity=NOBODY))) as asked:
        asked.bind([sharded])
        owners = {os.fstat(asked.give(sharded, f"web/{number}", number).fileno()).st_uid for number in range(3)}
        assert owners == {65534}


@needs_root
def test_replaced_path_is_not_removed(open_path: Path) -> None:
    mine, precious = open_path / "mine", open_path / "precious"
    for directory in (mine, precious):
        directory.mkdir()
    os.chown(mine, 65534, 65534)
    local = Listener("local", f"unix://{mine}/s")
    asked = Listeners(BindOptions(identity=NOBODY))
    asked.bind([local])
    mine.rename(open_path / "away")
    mine.symlink_to(precious)
    (precious / "s").write_text("of the system")
    asked.close()
    assert (precious / "s").read_text() == "of the system"


def test_masters_own_descriptors_are_refused(listeners: Listeners) -> None:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        own.listen()
        with pytest.raises(SystemFailure, match="was not started with this listening socket"):
            listeners.bind([Listener("http", f"fd://{own.fileno()}")])


@pytest.mark.parametrize(
    ("names", "listeners", "served"),
    [
        (["http", "http"], ["http", "http-2"], [0, 1]),
        (["http", "http", "http-2"], ["http", "http-2", "http-3"], [0, 2, 1]),
        (["web", "web"], ["http", "admin"], [0, 1]),
        (["web", "web"], ["http"], [None]),
        (["http", "http"], ["http"], [0]),
        (["http", "http"], ["admin", "http"], [None, 0]),
    ],
    ids=repr,
)
def test_activated_sockets_of_one_name_are_told_apart(
    names: list[str], listeners: list[str], served: list[int | None]
) -> None:
    with contextlib.ExitStack() as stack:
        passed = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        found: dict[str, list[int]] = {}
        for name, sock in zip(names, passed, strict=True):
            found.setdefault(name, []).append(sock.fileno())
        asked = stack.enter_context(closing(Listeners(BindOptions(given=Given([], found)))))
        notices = asked.bind([Listener(name, "tcp://127.0.0.1:0") for name in listeners])
        ports = {sock.getsockname()[1]: number for number, sock in enumerate(passed)}
        opened = [asked.address_of(Listener(name, "tcp://127.0.0.1:0")) for name in listeners]
        assert [ports.get(int(address.rpartition(":")[2])) for address in opened] == served
        unused = len(names) - len([each for each in served if each is not None])
        assert len([line for line in notices if line.startswith("socket activation: no listener is named")]) == (
            unused > 0
        )


# Options.


def test_options_are_set_on_the_socket(listeners: Listeners) -> None:
    plain = Listener("a", "tcp://127.0.0.1:0")
    other = Listener("b", "tcp://127.0.0.1:0", backlog=7, nodelay=False, defer_accept=3, reuseport=False)
    listeners.bind([plain, other])
    assert [options(shared(listeners, one)) for one in (plain, other)] == [
        (True, 0, True, min(2048, somaxconn())),
        (False, 3, False, 7),
    ]


def somaxconn() -> int:
    return int(Path("/proc/sys/net/core/somaxconn").read_text())


def options(sock: socket.socket) -> tuple[bool, int, bool, int]:
    """Whether small answers go at once, the seconds to defer, whether the port is shared, and the longest queue."""
    queue = struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 28)[0]
    return (
        bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT),
        bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)),
        queue,
    )


def test_changed_option_keeps_the_socket_and_its_queue(listeners: Listeners) -> None:
    before, after = Listener("http", "tcp://127.0.0.1:0"), Listener("http", "tcp://127.0.0.1:0", backlog=9)
    assert listeners.bind([before])[0].startswith("http: listening on tcp://127.0.0.1:")
    with socket.create_connection(("127.0.0.1", port(listeners, before)), timeout=10):
        assert listeners.bind([after]) == []
        listeners.unbind([before])
        assert options(shared(listeners, after))[3] == 9
        assert accepted(shared(listeners, after))


def test_mode_of_a_path_changes_and_is_restored(listeners: Listeners, tmp_path: Path) -> None:
    path = tmp_path / "s"
    before, after = (Listener("local", f"unix://{path}", mode=mode) for mode in (0o666, 0o600))
    listeners.bind([before])
    listeners.bind([after])
    assert mode(path) == 0o600
    assert listeners.unbind([after]) == []
    assert mode(path) == 0o666
    listeners.bind([after])
    assert listeners.unbind([before]) == []
    assert mode(path) == 0o600
    mask = os.umask(0o027)
    try:
        listeners.bind([replace(after, mode=None)])
    finally:
        os.umask(mask)
    assert mode(path) == 0o750


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_changed_mode_is_not_applied_to_a_replaced_path(listeners: Listeners, tmp_path: Path) -> None:
    path = tmp_path / "s"
    before = Listener("local", f"unix://{path}", mode=0o600)
    listeners.bind([before])
    path.unlink()
    listeners.bind([replace(before, mode=0o640)])
    path.write_text("precious")
    path.chmod(0o400)
    listeners.bind([replace(before, mode=0o666)])
    assert mode(path) == 0o400


def test_change_to_an_unknown_group_is_refused(listeners: Listeners, tmp_path: Path) -> None:
    before = Listener("local", f"unix://{tmp_path}/s", mode=0o640)
    listeners.bind([before])
    with pytest.raises(SystemFailure, match="there is no group 'no-such-group'"):
        listeners.bind([replace(before, mode=0o600, group="no-such-group")])
    assert mode(tmp_path / "s") == 0o640
    assert shared(listeners, before).fileno() >= 0


@needs_root
def test_changed_owner_is_set_with_the_applications_rights(open_path: Path) -> None:
    os.chown(open_path, 65534, 65534)
    before = Listener("local", f"unix://{open_path}/s")
    with closing(Listeners(BindOptions(identity=NOBODY))) as asked:
        asked.bind([before])
        with pytest.raises(SystemFailure, match="cannot change its mode, owner or group: Operation not permitted"):
            asked.bind([replace(before, owner="0")])
        assert (open_path / "s").stat().st_uid == 65534
    with closing(Listeners(BindOptions())) as asked:
        asked.bind([before])
        asked.bind([replace(before, owner="65534", group="65534")])
        assert (open_path / "s").stat().st_uid == 65534


def test_listeners_on_any_port_get_one_each(listeners: Listeners) -> None:
    one, other = Listener("a", "tcp://127.0.0.1:0"), Listener("b", "tcp://127.0.0.1:0")
    listeners.bind([one, other])
    assert port(listeners, one) != port(listeners, other)


def test_host_name_prefers_ipv4(listeners: Listeners) -> None:
    local = Listener("http", "tcp://localhost:0")
    listeners.bind([local])
    assert shared(listeners, local).getsockname()[0] == "127.0.0.1"


def test_path_is_removed_if_its_owner_cannot_be_set(listeners: Listeners, tmp_path: Path) -> None:
    with pytest.raises(SystemFailure, match="there is no group 'no-such-group'"):
        listeners.bind([Listener("local", f"unix://{tmp_path}/s", group="no-such-group")])
    assert list(tmp_path.iterdir()) == []
    mine = Listener("local", f"unix://{tmp_path}/s", owner=str(os.getuid()), group=str(os.getgid()), mode=0o600)
    listeners.bind([mine])
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("host", ["a..b", "a" * 70 + ".example"])
def test_invalid_host_name_is_refused(host: str) -> None:
    with closing(Listeners(BindOptions())) as asked, pytest.raises(SystemFailure, match="not a valid host name"):
        asked.bind([Listener("http", f"tcp://{host}:0")])
