"""The search for daemons, with real sockets behind which there is an answer, silence, nonsense, or nothing."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from prefork._client import search as module
from prefork._client.search import Found, search

STRANGER = 65534


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with ExitStack() as stack:
        yield Session(tmp_path, stack)


class Session:
    """A session's directory of daemons; other usual places have none that are called as those of these tests."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.home, self._stack = directory / "prefork", stack
        self.home.mkdir()
        self.listeners: dict[str, socket.socket] = {}
        self.environ = {"XDG_RUNTIME_DIR": str(directory)}

    def socket(self, name: str, backlog: int = 8) -> socket.socket:
        """Listen in the runtime directory of this name."""
        place = self.home / name
        place.mkdir()
        listener = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(place / "control.sock"))
        listener.listen(backlog)
        self.listeners[name] = listener
        return listener

    def answering(self, name: str, answer: bytes) -> None:
        """Answer the first client with this."""
        listener = self.socket(name)

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        self._stack.callback(thread.join)

    def found(self, here: str | None = None) -> dict[str, Found]:
        return {os.path.basename(each.place): each for each in search(self.environ, here) if self.owns(each)}

    def owns(self, found: Found) -> bool:
        return found.place.startswith(str(self.home))


def hello(**more: Any) -> bytes:
    return json.dumps({"ok": True, "protocol": 1, "name": "shop", "pid": 7, **more}).encode() + b"\n"


def test_daemon_says_what_it_is(session: Session) -> None:
    there = str(session.home)
    session.answering("shop", hello(directory=there, target="shop:app", ready=1, wanted=2, started=5.0, model="hooks"))
    (found,) = session.found(there).values()
    assert found == Found(
        f"{there}/shop", os.geteuid(), os.getpid(), "shop", answers=True, directory=there, here=True,
        target="shop:app", model="hooks", ready=1, wanted=2, started=5.0,
    )  # fmt: skip


def test_same_directory_by_another_name_is_here(session: Session) -> None:
    (session.home.parent / "link").symlink_to(session.home)
    session.answering("shop", hello(directory=str(session.home.parent / "link")))
    session.answering("other", hello(directory=str(session.home / "shop")))
    session.answering("gone", hello(directory=str(session.home / "removed")))
    assert {name: found.here for name, found in session.found(str(session.home)).items()} == {
        "shop": True, "other": False, "gone": False,
    }  # fmt: skip


def test_socket_without_a_master_is_not_found(session: Session) -> None:
    session.socket("dead").close()
    (session.home / "empty").mkdir()
    (session.home / "file").touch()
    assert session.found() == {}


def test_silent_daemons_delay_a_search_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    for number in range(3):
        session.socket(f"silent{number}")
    full = session.socket("full", backlog=0)
    with ExitStack() as clients:
        for _ in range(3):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        session.answering("quick", hello(name="quick"))
        before = monotonic()
        found = session.found(os.getcwd())
        assert monotonic() - before < 3 * 0.5, "and not four times"
    assert {name for name, each in found.items() if each.answers} == {"quick"}
    assert found.keys() == {"silent0", "silent1", "silent2", "full", "quick"}
    assert found["silent0"].here, "its master's own directory"


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"\n", b"[]\n", b"nonsense\n", b"{", b'{"ok": false}\n', b"x" * 10_000, b"\xff\n",
        hello(name=5, directory=[], target={}, ready="many", wanted=True, started=None, stopping=1),
    ],
)  # fmt: skip
def test_nonsense_is_no_answer(session: Session, answer: bytes) -> None:
    session.answering("shop", answer)
    (found,) = session.found().values()
    assert (found.name, found.target, found.ready, found.wanted, found.stopping) == ("shop", "", None, None, False)


def test_more_daemons_than_descriptors_are_found(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    for number in range(5):
        session.answering(f"shop{number}", hello(name=f"shop{number}"))
    assert [each.name for each in session.found().values()] == [f"shop{number}" for number in range(5)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_finds_what_a_service_manager_runs_as_another_user(session: Session) -> None:
    """Root's own directory has the daemon's in it: no other user could have put it there."""
    session.answering("shop", hello(name="shop"))
    os.seteuid(STRANGER)
    try:
        session.listeners["shop"].listen(8)  # Whose daemon it is, is said by who listens (unix(7)).
    finally:
        os.seteuid(0)
    (found,) = session.found().values()
    assert (found.uid, found.answers) == (STRANGER, True)


def test_empty_list_says_where_it_looked(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from prefork.cli import main

    monkeypatch.setenv("XDG_RUNTIME_DIR", session.environ["XDG_RUNTIME_DIR"])
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/nowhere")
    said = CliRunner().invoke(main, ["list"])
    assert said.exit_code == 0
    if not search({}, everyone=os.geteuid() == 0):  # Other tests may run daemons at the moment.
        assert said.output.startswith(f"no daemon is running; searched: /nowhere, /run/prefork, {session.home}, /tmp/")
