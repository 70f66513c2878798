"""A host name of the application's that its name server never answers for."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from security.hostile import Hostile, needs_root
from support import Start
from system.daemons import free_port
from system.other_user import anywhere

__all__ = ["anywhere"]  # A fixture.

pytestmark = [needs_root, pytest.mark.timeout(120)]

SERVER = "127.0.0.177"


def child_that_looks_up(hostile: Hostile) -> tuple[str, str, str]:
    """Return the user of the child of the master that is still its program, its NoNewPrivs, and its standard input."""
    for pid in hostile.running.children():
        with suppress(FileNotFoundError):  # It has ended meanwhile.
            if program_of(pid) == program_of(hostile.master):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                status = dict(line.split(":\t", 1) for line in lines)
                return status["Uid"].split()[0], status["NoNewPrivs"], os.readlink(f"/proc/{pid}/fd/0")
    raise AssertionError("no child of the master looks the name up")


def program_of(pid: int) -> tuple[str, bytes]:
    return os.readlink(f"/proc/{pid}/exe"), Path(f"/proc/{pid}/cmdline").read_bytes()


def test_name_that_is_never_answered_keeps_nothing_waiting(anywhere: Start) -> None:
    (anywhere.directory / "resolv.conf").write_text(f"nameserver {SERVER}\noptions timeout:30 attempts:3\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        try:
            silent.bind((SERVER, 53))
        except OSError:
            pytest.skip("no name server can be had here")
        hostile = Hostile(anywhere)
        hostile.mounts = f"mount --bind {anywhere.directory}/resolv.conf /etc/resolv.conf"
        hostile.begin()
        hostile.ready("web/0", "web/1")
        with hostile.unharmed():
            hostile.mold_runs('forged_address = "tcp://very-slow-name.example.test:8471"')
            hostile.signal(signal.SIGHUP)
            silent.settimeout(30)
            assert b"very-slow-name" in silent.recv(1000)
            assert child_that_looks_up(hostile) == ("65534", "1", "/dev/null")
            hostile.watch(lambda: "the name was not found within 10 s" in hostile.told(), "the refusal")
            hostile.signal(signal.SIGHUP)
            assert b"very-slow-name" in silent.recv(1000)
        assert hostile.stop() == 0  # While it is being looked up.


def test_name_that_has_no_address_is_refused(anywhere: Start) -> None:
    hostile = Hostile(anywhere)
    hostile.begin()
    hostile.ready("web/0", "web/1")
    for name in ("no-such-name.invalid", "a..b", "x" * 100, "a" + ".a" * 50, "xn--a.invalid"):
        hostile.mold_runs(f'forged_address = "tcp://{name}:8471"')
        hostile.signal(signal.SIGHUP)
        hostile.running.expect(f"reload: failed: cannot listen on tcp://{name}:8471", "err")
    hostile.mold_runs(f'forged_address = "tcp://localhost:{free_port()}"')
    hostile.signal(signal.SIGHUP)
    hostile.running.expect("reload: done", "err")
    hostile.until_served()
    assert hostile.stop() == 0
