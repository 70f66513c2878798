"""Where a daemon's runtime directory is, and when it is refused."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from prefork._errors import SystemFailure, UsageError
from prefork._master.identity.lock import Lock, Noted
from prefork._master.runtime.directory import directory_for
from prefork._master.runtime.presence import Runtime
from support import Start

OTHER_USER = 65534

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def home(open_start: Start) -> Path:
    """Return another user's directory."""
    os.chown(open_start.directory, OTHER_USER, OTHER_USER)
    return open_start.directory


def as_other_user(what: Callable[[], str]) -> str:
    """Return the result or error of a call as another user, in a process of its own."""
    codecs.lookup("ascii")  # Imported at its first use, by this interpreter's files, which the other user may not read.
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(OTHER_USER)
            os.setuid(OTHER_USER)
            text = what()
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as answer:
        return answer.read()


def test_directory_of_the_service_manager_comes_first(tmp_path: Path) -> None:
    given, others = f"{tmp_path}/given", f"{tmp_path}/others"
    environ = {"RUNTIME_DIRECTORY": f"{given}:{others}", "XDG_RUNTIME_DIR": str(tmp_path)}
    assert directory_for("chat", environ) == given
    assert os.stat(given).st_mode & 0o777 == 0o700


def test_relative_path_is_resolved(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        assert directory_for("chat", {"RUNTIME_DIRECTORY": "there/chat"}) == f"{tmp_path}/there/chat"
        assert os.stat("there/chat").st_mode & 0o777 == 0o700


@ROOT
def test_user_without_rights_gets_one_in_the_session_or_tmp(home: Path) -> None:
    found = as_other_user(lambda: directory_for("chat", {"XDG_RUNTIME_DIR": str(home)}))
    assert found == f"{home}/prefork/chat"
    found = as_other_user(lambda: directory_for(home.name, {}))
    assert found == f"/tmp/prefork-{OTHER_USER}/{home.name}"
    os.rmdir(found)


@ROOT
def test_replaceable_directory_is_refused(home: Path) -> None:
    (home / "prefork").mkdir()
    (home / "prefork").chmod(0o777)
    found = as_other_user(lambda: directory_for("chat", {"XDG_RUNTIME_DIR": str(home)}))
    assert found.startswith(f"SystemFailure: the runtime directory {home}/prefork/chat is not private")


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_writable_directory_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(SystemFailure, match="other users can write to it"):
        directory_for("chat", {"RUNTIME_DIRECTORY": str(tmp_path)})


def test_directory_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemFailure, match=r"cannot create .*: Not a directory"):
        directory_for("chat", {"RUNTIME_DIRECTORY": f"{tmp_path}/file/chat"})


def test_clean_end_removes_the_directory(tmp_path: Path) -> None:
    place = tmp_path / "chat"
    place.mkdir()
    runtime = Runtime(str(place), Noted("chat"))
    (place / "crashes").mkdir()
    runtime.leave()
    assert place.exists(), "there may be crash reports"
    (place / "crashes").rmdir()
    (place / "dashboard-token").write_text("token")
    Runtime(str(place), Noted("chat")).leave()
    assert not place.exists()


def test_directory_of_a_service_manager_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    Runtime(str(tmp_path), Noted("chat")).leave()
    assert tmp_path.exists()


def test_lock_on_a_removed_file_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, real = tmp_path / "chat", fcntl.flock
    place.mkdir()
    first = Lock(str(place), Noted("chat"))

    def ended_before(descriptor: int, operation: int) -> None:
        """The first one ends between open() and flock() of the second."""
        monkeypatch.setattr(fcntl, "flock", real)
        first.leave()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", ended_before)
    second = Lock(str(place), Noted("chat"))
    assert second.is_there
    with pytest.raises(UsageError, match="is already running"):
        Lock(str(place), Noted("chat"))
    second.leave()
    assert not place.exists()


def test_lock_allows_one_daemon(tmp_path: Path) -> None:
    runtime = Runtime(str(tmp_path), Noted("chat"))
    with pytest.raises(UsageError, match=f"is already running: pid {os.getpid()} "):
        Runtime(str(tmp_path), Noted("chat"))
    runtime.close()
    Runtime(str(tmp_path), Noted("chat")).close()
