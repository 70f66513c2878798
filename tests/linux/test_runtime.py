"""Where a daemon's runtime directory is, and whom it is refused for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from prefork._errors import SystemFailure, UsageError
from prefork._master.runtime.directory import Runtime, directory_for
from support import Start

STRANGER = 65534

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def home(open_start: Start) -> Path:
    """Return another user's directory."""
    os.chown(open_start.directory, STRANGER, STRANGER)
    return open_start.directory


def as_somebody(what: Callable[[], str]) -> str:
    """Return what another user is told, in a process of its own."""
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            text = what()
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as answer:
        return answer.read()


def test_a_service_managers_comes_first(tmp_path: Path) -> None:
    given, others = f"{tmp_path}/given", f"{tmp_path}/others"
    environ = {"RUNTIME_DIRECTORY": f"{given}:{others}", "XDG_RUNTIME_DIR": str(tmp_path)}
    assert directory_for("chat", environ) == given
    assert os.stat(given).st_mode & 0o777 == 0o700


def test_one_that_is_named_from_the_current_directory_is_made_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert directory_for("chat", {"RUNTIME_DIRECTORY": "there/chat"}) == f"{tmp_path}/there/chat"
    assert os.stat("there/chat").st_mode & 0o777 == 0o700


@ROOT
def test_another_users_is_where_its_session_has_one_and_else_below_tmp(home: Path) -> None:
    told = as_somebody(lambda: directory_for("chat", {"XDG_RUNTIME_DIR": str(home)}))
    assert told == f"{home}/prefork/chat"
    told = as_somebody(lambda: directory_for(home.name, {}))
    assert told == f"/tmp/prefork-{STRANGER}/{home.name}"
    os.rmdir(told)


@ROOT
def test_what_somebody_else_could_exchange_is_refused(home: Path) -> None:
    (home / "prefork").mkdir()
    (home / "prefork").chmod(0o777)
    told = as_somebody(lambda: directory_for("chat", {"XDG_RUNTIME_DIR": str(home)}))
    assert told.startswith(f"SystemFailure: the runtime directory {home}/prefork/chat is not ours alone")


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_one_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(SystemFailure, match="others may write there"):
        directory_for("chat", {"RUNTIME_DIRECTORY": str(tmp_path)})


def test_one_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemFailure, match="cannot be made: Not a directory"):
        directory_for("chat", {"RUNTIME_DIRECTORY": f"{tmp_path}/file/chat"})


def test_it_is_one_daemons_at_a_time(tmp_path: Path) -> None:
    runtime = Runtime(str(tmp_path))
    with pytest.raises(UsageError, match=f"runs already: pid {os.getpid()} "):
        Runtime(str(tmp_path))
    runtime.close()
    Runtime(str(tmp_path)).close()
