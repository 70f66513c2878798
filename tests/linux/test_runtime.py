"""Where a daemon's runtime directory is, and whom it is refused for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from prefork._errors import MisuseError, WorldError
from prefork._linux.runtime import Runtime, directory_for

STRANGER = 65534

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def as_somebody(home: Path, what: Callable[[], str]) -> str:
    """Return what another user is told, in a process of its own."""
    for directory in (home, *home.parents[:2]):
        directory.chmod(0o755)
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


@ROOT
def test_another_users_is_where_its_session_has_one_and_else_below_tmp(tmp_path: Path) -> None:
    os.chown(tmp_path, STRANGER, STRANGER)
    told = as_somebody(tmp_path, lambda: directory_for("chat", {"XDG_RUNTIME_DIR": str(tmp_path)}))
    assert told == f"{tmp_path}/prefork/chat"
    told = as_somebody(tmp_path, lambda: directory_for(tmp_path.name, {}))
    assert told == f"/tmp/prefork-{STRANGER}/{tmp_path.name}"
    os.rmdir(told)


@ROOT
def test_what_somebody_else_could_exchange_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, STRANGER, STRANGER)
    (tmp_path / "prefork").mkdir(mode=0o777)
    (tmp_path / "prefork").chmod(0o777)
    told = as_somebody(tmp_path, lambda: directory_for("chat", {"XDG_RUNTIME_DIR": str(tmp_path)}))
    assert f"others may write to {tmp_path}/prefork, on the way to it" in told


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_one_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(WorldError, match="others may write there"):
        directory_for("chat", {"RUNTIME_DIRECTORY": str(tmp_path)})


def test_one_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorldError, match="cannot be made: Not a directory"):
        directory_for("chat", {"RUNTIME_DIRECTORY": f"{tmp_path}/file/chat"})


def test_it_is_one_daemons_at_a_time(tmp_path: Path) -> None:
    runtime = Runtime(str(tmp_path))
    with pytest.raises(MisuseError, match=f"runs already: pid {os.getpid()} "):
        Runtime(str(tmp_path))
    runtime.close()
    Runtime(str(tmp_path)).close()
