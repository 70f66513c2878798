"""The units of docs/systemd/, under a real systemd."""

from __future__ import annotations

import http.client
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import prefork
from adapters.secured import Authority, serial_of
from proof.systemd import Systemd, systemd
from support import PATIENCE, until
from system.daemons import free_port
from system.runs import ASGI
from system.test_store import Callers

UNITS = Path(__file__).parents[2] / "docs" / "systemd"
DOCUMENT = UNITS.with_suffix(".md").read_text()
HERE = Path(sys.executable).parent

PORT = free_port()


def shipped(name: str, directory: Path, **changes: str) -> str:
    """Return a unit of ours for a program in `directory`, with other values for some lines; empty takes one out.

    What hides or forbids the places where tests and their interpreter live is left out.
    """
    text = (UNITS / name).read_text().replace("/srv/shop/venv/bin", str(HERE)).replace("/srv/shop", str(directory))
    for key, value in {"User": "", "ProtectHome": "", "PrivateTmp": "", **changes}.items():
        text = re.sub(rf"^{key}=.*\n", f"{key}={value}\n" if value else "", text, flags=re.MULTILINE)
    return text


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Systemd, Path]]:
    own = tmp_path_factory.mktemp("systemd")
    directory = own / "shop"
    directory.mkdir()
    (directory / "shop.py").write_text(ASGI)
    service = shipped("shop.service", directory, WatchdogSec="10")
    socket = shipped("shop.socket", directory, ListenStream=str(PORT))
    with systemd(own, shop_service=service, shop_socket=socket) as running:
        yield running, directory


def confined(directory: Path, **changes: str) -> str:
    """Return the whole service, with nothing left out, for a program in `directory`.

    The places where tests and their interpreter live are in what it hides, and are shown to it.
    """
    own = {"User": "nobody", "ProtectHome": "tmpfs", "PrivateTmp": "yes"}
    shown = {str(directory), sys.base_prefix, str(HERE.parent), str(Path(prefork.__file__).parent)}
    lines = "".join(f"BindReadOnlyPaths={place}\n" for place in sorted(shown))
    return shipped("shop.service", directory, **(own | changes)).replace("[Service]\n", f"[Service]\n{lines}")


def get() -> str:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=PATIENCE)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode().split(" ", 1)[1]
    finally:
        connection.close()


def test_the_life_of_a_service(manager: tuple[Systemd, Path]) -> None:
    running, directory = manager
    running.ctl("start", "shop.socket")
    assert running.show("shop.service", "ActiveState") == "inactive"
    assert get() == "hello"  # The first connection has it started, and is answered by it.
    until(lambda: running.show("shop.service", "ActiveState") == "active", "it is ready")
    until(lambda: re.fullmatch(r"(\d+)/\1 ready, generation 1", status(running)) is not None, "its status")

    (directory / "shop.py").write_text(ASGI.replace("hello", "good day"))
    running.ctl("reload", "shop.service")
    assert get() == "good day"
    until(lambda: status(running).endswith("ready, generation 2"), "its status")

    (directory / "shop.py").write_text("no code at all")
    failed = running.run("systemctl", "reload", "shop.service")
    assert failed.returncode != 0
    assert running.show("shop.service", "ActiveState") == "active"
    assert "; reload: failed: " in status(running)
    assert get() == "good day"

    (directory / "shop.py").write_text(ASGI)
    main = running.show("shop.service", "MainPID")
    running.ctl("restart", "shop.service")  # No client is refused meanwhile: the socket is systemd's.
    assert get() == "hello"
    assert running.show("shop.service", "MainPID") != main
    running.ctl("stop", "shop.service", "shop.socket")
    assert running.show("shop.service", "Result") == "success"
    assert running.show("shop.service", "ExecMainStatus") == "0"


def test_a_master_that_hangs_is_killed_and_started_again(manager: tuple[Systemd, Path]) -> None:
    running, _ = manager
    running.ctl("start", "shop.socket", "shop.service")
    main = running.show("shop.service", "MainPID")
    assert running.run("kill", "-STOP", main).returncode == 0
    until(lambda: running.show("shop.service", "MainPID") not in ("0", main), "another master")
    assert running.show("shop.service", "NRestarts") == "1"
    assert get() == "hello"
    running.ctl("stop", "shop.service", "shop.socket")


def test_upgrade_is_no_restart(manager: tuple[Systemd, Path]) -> None:
    running, _ = manager
    running.ctl("start", "shop.socket", "shop.service")
    main, restarts = (running.show("shop.service", name) for name in ("MainPID", "NRestarts"))
    for _ in range(2):
        upgraded = running.run(str(HERE / "prefork"), "upgrade", "-n", "shop")
        assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr
        assert get() == "hello"
    until(lambda: running.show("shop.service", "SubState") == "running", "the end of what looks like a reload")
    assert running.show("shop.service", "MainPID") == main
    assert running.show("shop.service", "NRestarts") == restarts
    running.ctl("stop", "shop.service", "shop.socket")
    assert running.show("shop.service", "Result") == "success"


@pytest.mark.timeout(1800)
def test_killed_master_is_restarted_and_adopts_the_workers(manager: tuple[Systemd, Path]) -> None:
    running, directory = manager
    unit = shipped("shop.service", directory, KillMode="process").replace(
        "shop:app --name", f"shop:app -b 127.0.0.1:{PORT} --name"
    )
    running.install("alone.service", unit.replace("[Service]", "[Service]\nRuntimeDirectoryPreserve=restart"))
    running.ctl("start", "alone.service")
    workers = workers_of(running)
    for _ in range(20):
        main = running.show("alone.service", "MainPID")
        assert running.run("kill", "-KILL", main).returncode == 0
        until(partial(answers_after, running, main), "another master")
        assert workers_of(running) == workers
        running.run("systemctl", "reset-failed", "alone.service")  # Many starts in a short time.
    assert get() == "hello"
    running.ctl("stop", "alone.service")
    assert running.show("alone.service", "Result") == "success"


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("sharing", "server"), [("shared", "uvicorn"), ("sharded", "granian")])
def test_whole_group_is_killed_and_no_connection_is_refused(
    manager: tuple[Systemd, Path], sharing: str, server: str
) -> None:
    """With the unit as it is: KillMode=mixed, and a runtime directory that goes with the service."""
    running, directory = manager
    (directory / "shop.py").write_text(ASGI)
    unit = shipped("shop.service", directory, ProtectSystem="")
    options = f"-b 127.0.0.1:{PORT} -w 3 --server {server} --log-file {directory}/log"
    running.install(f"{sharing}.service", unit.replace("shop:app --name", f"shop:app {options} --name"))
    unit = f"{sharing}.service"
    running.ctl("start", unit)
    with Callers(PORT, 4, b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n") as callers:
        for _ in range(20):
            callers.more(10)
            main = running.show(unit, "MainPID")
            group = running.show(unit, "ControlGroup")
            (Path("/proc") / str(running.pid) / f"root/sys/fs/cgroup{group}/cgroup.kill").write_text("1")
            until(partial(is_active_after, running, unit, main), "another master")
            running.run("systemctl", "reset-failed", unit)  # So many starts in a short time are a failure.
        callers.more(10)
    assert callers.refused == []
    running.ctl("stop", unit)
    assert running.show(unit, "Result") == "success"
    assert running.show(unit, "NFileDescriptorStore") == "0"


def is_active_after(running: Systemd, unit: str, main: str) -> bool:
    """Return whether another master than `main` has become active."""
    found = running.show(unit, "MainPID") not in ("0", main)
    return found and running.show(unit, "ActiveState") == "active"


def answers_after(running: Systemd, main: str) -> bool:
    """Ask, and return whether another master than `main` has become active."""
    assert get() == "hello"
    return is_active_after(running, "alone.service", main)


def workers_of(running: Systemd) -> list[str]:
    return running.run("pgrep", "-f", "prefork: web/").stdout.split()


ROOTS = {"User": "", "CapabilityBoundingSet": "CAP_SETUID CAP_SETGID CAP_KILL", "ProtectProc": "default"}
"""What the unit of a master that stays root has instead (docs/systemd.md), besides the system calls of @setuid."""


@pytest.mark.parametrize(("name", "option"), [("confined", ""), ("roots", " --user nobody")])
def test_service_works_with_all_that_its_unit_forbids(manager: tuple[Systemd, Path], name: str, option: str) -> None:
    running, directory = manager
    (directory / "shop.py").write_text(ASGI)
    unit = confined(directory, **(ROOTS if option else {}))
    if option:
        unit = unit.replace("SystemCallFilter=@chown", "SystemCallFilter=@chown @setuid")
    name = f"{name}.service"
    running.install(name, unit.replace("shop:app --name", f"shop:app -b 127.0.0.1:{PORT}{option} --name"))
    running.ctl("start", name)
    assert get() == "hello"
    main = running.show(name, "MainPID")
    for pid in [main, *running.run("pgrep", "-P", main).stdout.split()]:
        facts = running.run("cat", f"/proc/{pid}/status").stdout
        uid = 0 if option and pid == main else 65534
        assert re.search(rf"^Uid:\t{uid}\t{uid}\t", facts, re.MULTILINE), facts
        assert re.search("^CapBnd:\t00000000000000(00|e0)$", facts, re.MULTILINE), facts
        assert re.search("^Seccomp:\t2$", facts, re.MULTILINE), facts
    (directory / "shop.py").write_text(ASGI.replace("hello", "good day"))
    running.ctl("reload", name)
    assert get() == "good day"
    upgraded = running.run(str(HERE / "prefork"), "upgrade", "-n", "shop")
    assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr
    assert running.show(name, "MainPID") == main
    for worker in running.run("pgrep", "-P", main).stdout.split():
        running.run("kill", "-KILL", worker)
    until(lambda: get() == "good day", "it serves")
    running.ctl("stop", name)
    assert running.show(name, "Result") == "success"
    assert running.show(name, "ExecMainStatus") == "0"


def test_key_of_root_alone_reaches_the_service(manager: tuple[Systemd, Path]) -> None:
    running, directory = manager
    (directory / "shop.py").write_text(ASGI)
    authority, keys = Authority(directory / "authority"), directory / "keys"
    keys.mkdir(mode=0o700)
    section = DOCUMENT.partition("## A key for TLS\n")[2].partition("\n## ")[0].replace("/etc/shop", str(keys))
    lines = "".join(re.findall(r"^    (LoadCredential=.*\n)", section, re.MULTILINE))
    [options] = re.findall(r"`(--tls-cert .*?)`", section)
    unit = confined(directory).replace("[Service]\n", f"[Service]\n{lines}")
    running.install("keys.service", unit.replace("shop:app --name", f"shop:app -b 127.0.0.1:{PORT} {options} --name"))
    for act in "start", "restart", "reload":
        if act != "reload":  # After which the service still has the files of its start.
            certificate, key, serial = authority.issue()
            for name, data in ("tls.crt", certificate), ("tls.key", key):
                (keys / name).write_bytes(data)
                (keys / name).chmod(0o600)
        running.ctl(act, "keys.service")
        assert serial_of(PORT, authority.context()) == serial
    main = running.show("keys.service", "MainPID")
    assert re.search(r"^Uid:\t65534\t", running.run("cat", f"/proc/{main}/status").stdout, re.MULTILINE)
    running.ctl("stop", "keys.service")
    assert running.show("keys.service", "Result") == "success"


def test_wrong_usage_is_not_tried_again(manager: tuple[Systemd, Path]) -> None:
    running, directory = manager
    unit = shipped("shop.service", directory).replace(" shop:app", " --no-such-option")
    running.install("wrong.service", unit)
    assert running.run("systemctl", "start", "wrong.service").returncode != 0
    assert running.show("wrong.service", "ExecMainStatus") == "2"
    assert running.show("wrong.service", "NRestarts") == "0"
    assert running.show("wrong.service", "ActiveState") == "failed"


def status(running: Systemd) -> str:
    return running.show("shop.service", "StatusText")
