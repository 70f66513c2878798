"""The example as its README shows it: three kinds of worker in one plan, run both ways."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sys
from pathlib import Path

import pytest

from support import PATIENCE, PROOF, Running, Start, gone, state, until
from system.daemons import free_port, title

CHAT = Path(__file__).parent.parent.parent / "examples" / "chat"


@pytest.fixture(params=["script", "command"] if PROOF else ["script"])
def chat(start: Start, request: pytest.FixtureRequest) -> tuple[Running, int, Path]:
    folder = start.directory / "chat"
    shutil.copytree(CHAT, folder)
    port = free_port()
    (folder / "chat.toml").write_text(f'greeting = "good day"\naddress = "tcp://127.0.0.1:{port}"\n')
    prefork = Path(sys.executable).with_name("prefork")
    if request.param == "command" and not prefork.exists():
        pytest.skip("the command prefork is not installed beside the interpreter")
    command = [sys.executable, "chat.py"] if request.param == "script" else [prefork, "run", "chat:daemon"]
    environment = {"RUNTIME_DIRECTORY": str(start.directory / "runtime")}
    running = start.command(*command, cwd=folder, env=environment)
    until(lambda: len(workers(running)) == 6, "four, a scheduler and a consumer")
    return running, port, folder


def workers(running: Running) -> dict[str, int]:
    """Return the pids of the workers by key; those that are leaving are counted too, under other names."""
    found: dict[str, int] = {}
    for pid in running.children():
        match = re.match(r"prefork: ((chat|scheduler|consumer)\S*) g(\d+) ", title(pid))
        if match:
            found[match[1] if match[1] not in found else f"{match[1]} again"] = pid
    return found


def say(port: int, text: str) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(f"{text}\n".encode())
        return client.makefile().readline().strip()


def test_it_greets_reloads_and_never_has_two_schedulers(chat: tuple[Running, int, Path]) -> None:
    running, port, folder = chat
    assert sorted(workers(running)) == ["chat/0", "chat/1", "chat/2", "chat/3", "consumer", "scheduler"]
    until(lambda: _answers(port), "it listens")
    assert re.fullmatch(r"good day from chat/\d: me", say(port, "me"))
    old = workers(running)
    (folder / "chat.toml").write_text(f'greeting = "hi"\naddress = "tcp://127.0.0.1:{port}"\n')
    for generation in range(2, 5 if PROOF else 4):
        scheduler = workers(running)["scheduler"]
        os.kill(scheduler, signal.SIGKILL)
        until(lambda: len(schedulers(running)) == 1 and scheduler not in schedulers(running), "another")  # noqa: B023
        running.send(signal.SIGHUP)
        running.expect(rf"reload: done \(generation {generation}\)", "err")
        assert len(schedulers(running)) == 1
        assert all(gone(pid) for pid in old.values())
        assert say(port, "me").startswith("hi from chat/")
    assert running.stop() == 0


def schedulers(running: Running) -> list[int]:
    found = [pid for name, pid in workers(running).items() if name.startswith("scheduler")]
    found = [pid for pid in found if state(pid) not in "ZX"]  # One may have died since its title was read.
    assert len(found) < 2, "two at once"
    return found


def _answers(port: int) -> bool:
    try:
        say(port, "anybody?")
    except OSError:
        return False
    return True
