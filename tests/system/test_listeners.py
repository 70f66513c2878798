"""Where a daemon can listen, and what it says where it cannot: real daemons, asked through real sockets."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import prefork
from support import PATIENCE, Start, gone, until
from system.commanded import PREFORK
from system.daemons import HEAD, RUN, SERVE, Served, free_port, title
from system.runs import WSGI

LISTENERS = """
daemon = prefork.Daemon("places", listeners={"http": WHERE}, orphan_grace=20)

@daemon.plan
def plan():
    return [Web(0, os.environ.get("LISTEN_FDS", "") + os.environ.get("LISTEN_PID", "")), Web(1)]
"""
EVERYWHERE = """
import asyncio

async def serve(worker, name):
    async for connection, _ in worker.accept(name):
        with connection:
            text = f"{worker.key} g{worker.generation} {os.getpid()} "
            await asyncio.get_running_loop().sock_sendall(connection, text.encode())

@daemon.worker(Web)
async def web(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    await asyncio.gather(*(serve(worker, name) for name in daemon.listeners))
"""
DATAGRAMS = """
import asyncio

class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
    def datagram_received(self, data, address):
        self.transport.sendto(f"{KEY}:".encode() + data, address)

@daemon.worker(Web)
async def web(worker):
    global KEY
    KEY = worker.key
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, sock=worker.listener("http").dup())
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    await worker.wait_draining()
    transport.close()
"""


def served(start: Start, where: str, worker: str = SERVE) -> Served:
    """A daemon whose one listener is `where`, as Python."""
    return Served(start, "places", HEAD + LISTENERS.replace("WHERE", where) + worker + RUN)


def up(daemon: Served, *names: str) -> list[str]:
    """Wait until it is up; return where it says that it listens, in the order of the names."""
    patterns = [rf"^(?:\S+T\S+ )?{name}: listening on (.*)$" for name in names]
    found = daemon.running.expect_each(patterns, "err")
    daemon.ready("web/0", "web/1")
    return [found[pattern][1] for pattern in patterns]


def asked(family: socket.AddressFamily, address: object) -> str:
    with socket.socket(family) as client:
        client.settimeout(PATIENCE)
        client.connect(address)  # type: ignore[arg-type]
        return client.recv(1000).decode()


def port_of(where: str) -> int:
    return int(where.rpartition(":")[2])


def ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not ipv6(), reason="this machine does without IPv6")


def test_kernel_chosen_ports_are_logged_and_survive_reloads(start: Start) -> None:
    where = 'prefork.Listener("tcp://127.0.0.1:0", sharing="{}", backlog=100)'
    daemon = served(start, f'{where.format("shared")}, "own": {where.format("sharded")}', EVERYWHERE).launch()
    numbers = [port_of(place) for place in up(daemon, "http", "own")]
    assert all(asked(socket.AF_INET, ("127.0.0.1", number)).startswith("web/") for number in numbers)
    daemon.signal(signal.SIGHUP)
    daemon.running.expect(r"reload: done \(generation 2\)", "err")
    source = daemon.file.read_text()
    daemon.file.write_text(source.replace("backlog=100", "backlog=200"))  # Another record, and the same place.
    daemon.signal(signal.SIGHUP)
    daemon.running.expect(r"reload: done \(generation 3\)", "err")
    assert all(" g3 " in asked(socket.AF_INET, ("127.0.0.1", number)) for number in numbers)
    assert daemon.stop() == 0
    assert len([line for line in daemon.running.err if ": listening on " in line]) == 2


@needs_ipv6
def test_any_address_serves_both_families_and_ipv6_its_own(start: Start) -> None:
    daemon = served(start, '"tcp://*:0", "any": "tcp://[::]:0", "own": "tcp://[::1]:0"', EVERYWHERE).launch()
    *both, own = up(daemon, "http", "any", "own")
    for where in both:
        assert asked(socket.AF_INET, ("127.0.0.1", port_of(where))).startswith("web/")
        assert asked(socket.AF_INET6, ("::1", port_of(where))).startswith("web/")
    assert own.startswith("tcp://[::1]:")
    assert asked(socket.AF_INET6, ("::1", port_of(own))).startswith("web/")
    with pytest.raises(ConnectionRefusedError):
        asked(socket.AF_INET, ("127.0.0.1", port_of(own)))
    assert daemon.stop() == 0


def test_path_has_mode_and_is_removed_abstract_has_none(start: Start) -> None:
    path = start.directory / "s"
    where = f'prefork.Listener("unix://{path}", mode=0o640), "own": "unix://@prefork-test-PORT"'
    daemon = served(start, where, EVERYWHERE).launch()
    assert up(daemon, "http", "own") == [f"unix://{path}", f"unix://@prefork-test-{daemon.port}"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert asked(socket.AF_UNIX, str(path)).startswith("web/")
    assert asked(socket.AF_UNIX, f"\0prefork-test-{daemon.port}").startswith("web/")
    assert daemon.stop() == 0
    assert not path.exists()


def test_only_a_dead_daemons_path_is_taken_over(start: Start) -> None:
    path = start.directory / "s"
    daemon = served(start, f'"unix://{path}"').launch()
    up(daemon, "http")
    workers = [pid for pid in daemon.running.children() if " web/" in title(pid)]
    (start.directory / "other.py").write_text(daemon.file.read_text())
    other = start.command(sys.executable, "other.py", env={"RUNTIME_DIRECTORY": str(start.directory / "other")})
    assert other.wait() == 1
    pid, place = daemon.running.pid, start.directory / "runtime"
    assert other.err[-1] == (
        f"start: failed: cannot listen on unix://{path} (http): Address already in use: "
        f"by the daemon places, pid {pid}; end it by `prefork stop -n {place}`, "
        "or choose another address, with -b (of the agent: --metrics) or in the program"
    )
    os.kill(daemon.running.pid, signal.SIGKILL)
    daemon.running.wait()
    assert path.exists()
    successor = daemon.launch()
    successor.running.expect("adopted 2 workers of a killed master", "err")
    assert int(asked(socket.AF_UNIX, str(path)).split()[2]) in workers
    assert successor.stop() == 0
    assert not path.exists()


@pytest.mark.parametrize("sharing", ["shared", "sharded"])
def test_datagram_client_stays_with_its_worker(start: Start, sharing: str) -> None:
    daemon = served(start, f'prefork.Listener("udp://127.0.0.1:0", sharing="{sharing}")', DATAGRAMS).launch()
    (where,) = up(daemon, "http")
    # Said when the master knows it, too: whose turn a client is changes with each worker that begins to serve.
    until(lambda: title(daemon.running.pid).endswith("[2/2 ready]"), "both serve")
    assert where.startswith("udp://127.0.0.1:")
    answers = [set(echoed(port_of(where), 5)) for _ in range(20)]
    assert {answer for each in answers for answer in each} == {"web/0:hello", "web/1:hello"} or sharing == "shared"
    assert all(len(each) == 1 for each in answers) or sharing == "shared"
    assert daemon.stop() == 0


def echoed(number: int, count: int) -> Iterator[str]:
    """What comes back to one client, one datagram after another."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        for _ in range(count):
            client.sendto(b"hello", ("127.0.0.1", number))
            yield client.recv(100).decode()


# Sockets that the program is given.


@contextmanager
def a_listening_socket() -> Iterator[socket.socket]:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(50)
        yield sock


@pytest.mark.parametrize(
    "way",
    [[sys.executable, "program.py"], [str(Path(sys.executable).with_name("prefork")), "run", "program:daemon"]],
    ids=["script", "run"],
)
def test_inherited_socket_goes_to_workers_only(start: Start, way: list[str]) -> None:
    with a_listening_socket() as given, a_listening_socket() as other:
        daemon = served(start, f'"fd://{given.fileno()}"')
        passed = (given.fileno(), other.fileno())
        running = start.command(*way, env=daemon.environment, pass_fds=passed)
        daemon.running = running
        assert up(daemon, "http") == [f"tcp://127.0.0.1:{given.getsockname()[1]}"]
        assert asked(socket.AF_INET, given.getsockname()).startswith("web/")
        inodes = [os.fstat(number).st_ino for number in passed]
        for pid in running.children():
            holds = [inode in sockets(pid) for inode in inodes]
            assert holds == [" web/" in title(pid), False], title(pid)
        daemon.signal(signal.SIGHUP)
        running.expect(r"reload: done \(generation 2\)", "err")
        assert " g2 " in asked(socket.AF_INET, given.getsockname())
        assert daemon.stop() == 0


def sockets(pid: int) -> set[int]:
    """The sockets that a process has open, by inode."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # Closed meanwhile: the mold closes what it has passed on.
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{name}"))
            found.update([int(match[1])] if match else [])
    return found


ACTIVATE = """
import os, socket, sys
ports = sys.argv[1].split()
socks = [socket.create_server(("127.0.0.1", int(port))) for port in ports]
copies = [os.dup(each.fileno()) for each in socks]
for number, copy in enumerate(copies, 3):
    os.dup2(copy, number)
os.environ.update(LISTEN_FDS=str(len(ports)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.executable, [sys.executable, *sys.argv[3:]])
"""


def by_hand(name: str, *ports: int) -> list[str]:
    return [sys.executable, "-c", ACTIVATE, " ".join(map(str, ports)), ":".join([name] * len(ports))]


def by_systemd(name: str, *ports: int) -> list[str]:
    found = shutil.which("systemd-socket-activate")
    if found is None:
        pytest.skip("systemd-socket-activate is not installed")
    passed = [f"--setenv={name}" for name in ("RUNTIME_DIRECTORY", "TEST_OF_PREFORK", "PATH")]
    listens = [f"--listen=127.0.0.1:{port}" for port in ports]
    return [found, *listens, f"--fdname={':'.join([name] * len(ports))}", *passed, sys.executable]


@pytest.mark.parametrize(
    ("activate", "name", "listener"),
    [
        ("by systemd", "http", '"tcp://127.0.0.1:1"'),
        ("by hand", "http", '"tcp://127.0.0.1:1"'),
        ("by hand", "places.socket", '"tcp://127.0.0.1:1"'),
        ("by hand", "web", '"fd://web"'),
    ],
)
def test_socket_activation(start: Start, activate: str, name: str, listener: str) -> None:
    daemon = served(start, listener)
    number = free_port()
    command = by_hand(name, number) if activate == "by hand" else by_systemd(name, number)
    daemon.running = start.command(*command, "program.py", env=daemon.environment)
    if activate == "by systemd":  # It starts the program at the first connection.
        daemon.running.expect("Listening on", "err")
        text = asked(socket.AF_INET, ("127.0.0.1", number))
    assert up(daemon, "http") == [f"tcp://127.0.0.1:{number}"]
    text = ""

    def first_answers() -> bool:
        nonlocal text
        text = asked(socket.AF_INET, ("127.0.0.1", number))
        return text.startswith("web/0")

    until(first_answers, "web/0 answers")
    assert text.endswith(" ")  # Here comes what its plan has found in the environment of socket activation: nothing.
    assert daemon.stop() == 0


@pytest.mark.parametrize("activate", [by_hand, by_systemd])
def test_two_sockets_of_one_unit_serve_one_application(start: Start, activate: Callable[..., list[str]]) -> None:
    """`ListenStream=` twice in one unit: both have its name."""
    (start.directory / "shop.py").write_text(WSGI)
    ports = [free_port(), free_port()]
    environment = {"RUNTIME_DIRECTORY": str(start.directory / "runtime")}
    command = (*activate("shop.socket", *ports), str(PREFORK), "run", "shop:app", "-w", "1")
    running = start.command(*command, env=environment)
    if activate is by_systemd:  # It starts the program at the first connection.
        running.expect(f"Listening on 127.0.0.1:{ports[1]}", "err")
    else:
        running.expect(": ready ", "err")
    for port in ports:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.makefile("rb").readline().split()[1] == b"200"
    assert prefork.connect(environment["RUNTIME_DIRECTORY"]).hello()["pid"] == running.pid
    assert running.stop() == 0


def test_unused_activated_socket_is_logged(start: Start) -> None:
    daemon = served(start, '"tcp://127.0.0.1:PORT", "admin": "tcp://127.0.0.1:0"')
    daemon.running = start.command(*by_hand("metrics", free_port()), "program.py", env=daemon.environment)
    assert up(daemon, "http") == [f"tcp://127.0.0.1:{daemon.port}"]
    assert "socket activation: no listener is named metrics; not used" in daemon.running.err
    assert daemon.stop() == 0


# What cannot be.


def refused(start: Start, where: str) -> tuple[int, str]:
    """How a daemon ends that cannot listen there, and its one line."""
    daemon = served(start, where).launch()
    status = daemon.running.wait()
    assert len(daemon.running.err) == 1, daemon.running.err
    return status, daemon.running.err[0]


def test_address_in_use_or_not_given_is_one_line(start: Start) -> None:
    with a_listening_socket() as other:
        where = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        line = f"start: failed: cannot listen on {where} (http): Address already in use"
        for listener in f'"{where}"', f'prefork.Listener("{where}", sharing="sharded")':
            status, said = refused(start, listener)
            assert (status, said.startswith(f"{line}: by pid {os.getpid()} (")) == (1, True), said
    status, line = refused(start, '"fd://3"')
    assert (status, "the program was not started with this listening socket (it has none)" in line) == (1, True)


def test_invalid_address_is_refused_at_the_listener(start: Start) -> None:
    daemon = served(start, '"tcp://127.0.0.1"').launch()
    assert daemon.running.wait() == 1
    assert daemon.running.err[-1].endswith(
        "UsageError: listener 'http': 'tcp://127.0.0.1' is no address: "
        "it has no port: give host:port, with port 0 for any free one"
    )


def test_bad_listeners_in_reloads_are_one_line_each(start: Start) -> None:
    daemon = served(start, '"tcp://127.0.0.1:PORT"').launch()
    up(daemon, "http")
    good = daemon.file.read_text()
    place = start.directory
    (place / "file").write_text("precious")
    with a_listening_socket() as other:
        taken = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        for where, reason in (
            (f'"{taken}"', f"{taken} \\(http\\): Address already in use: by pid {os.getpid()} .*;"),
            ('"tcp://no.such.host.invalid:80"', r"tcp://no\.such\.host\.invalid:80 \(http\): "),
            (f'"unix://{place}/missing/s"', r"/missing/s \(http\): No such file or directory;"),
            (f'"unix://{place}/file"', "a file of this name exists that is not a socket;"),
            (
                f'prefork.Listener("unix://{place}/s", owner="nobody-at-all")',
                r"\(http\): there is no user 'nobody-at-all';",
            ),
        ):
            daemon.file.write_text(good.replace(f'"tcp://127.0.0.1:{daemon.port}"', where))
            daemon.signal(signal.SIGHUP)
            line = daemon.running.expect("^reload: failed: ", "err").string
            assert re.search(f"cannot listen on .*{reason}", line), line
            assert daemon.ask()[1] == 1
    assert (place / "file").read_text() == "precious"
    assert not (place / "s").exists()
    assert daemon.stop() == 0


def test_waiting_connections_of_a_removed_listener_are_answered(start: Start) -> None:
    daemon = served(start, '"tcp://127.0.0.1:PORT"').launch()
    up(daemon, "http")
    workers = [pid for pid in daemon.running.children() if " web/" in title(pid)]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    clients = [socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) for _ in range(30)]
    other = free_port()
    daemon.file.write_text(daemon.file.read_text().replace(str(daemon.port), str(other)))
    daemon.signal(signal.SIGHUP)
    daemon.running.expect(r"reload: done \(generation 2\)", "err")
    assert all(client.recv(100).startswith(b"web/") for client in clients)
    assert all(gone(pid) for pid in workers)
    with pytest.raises(ConnectionRefusedError):
        asked(socket.AF_INET, ("127.0.0.1", daemon.port))
    assert " g2 " in asked(socket.AF_INET, ("127.0.0.1", other))
    for client in clients:
        client.close()
    assert daemon.stop() == 0
