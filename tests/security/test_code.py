"""Code and options that another user decides: root refuses to start a daemon with them, and says which they are.

What the interpreter runs before prefork, such as a `.pth`, cannot be kept from running once; it is refused then.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from security.hostile import needs_root
from support import Start
from system.daemons import HEAD, RUN, SERVE
from system.other_user import NOBODY, AsNobody, anywhere, as_nobody

__all__ = ["anywhere"]  # A fixture.

pytestmark = [needs_root, pytest.mark.timeout(120)]

PROGRAM = """
os.write(1, b"the application runs\\n")
daemon = prefork.Daemon("user", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0)]
"""

LIBRARY = "lib/python{}.{}/site-packages"


@pytest.fixture
def served(anywhere: Start) -> AsNobody:
    return as_nobody(anywhere, HEAD + PROGRAM + SERVE + RUN)


def given_away(path: Path) -> Path:
    os.lchown(path, NOBODY, NOBODY)
    return path


def roots(served: AsNobody) -> Path:
    """A folder of root's in which Python looks, too."""
    folder = served.start.directory / "roots"
    folder.mkdir()
    served.path = (str(folder),)
    return folder


def folder_of_theirs(served: AsNobody) -> Path:
    folder = served.start.directory / "theirs"
    (folder / "sitecustomize.py").write_text("")
    served.path = (str(folder),)
    return folder


def folder_that_all_may_write_to(served: AsNobody) -> Path:
    folder = roots(served)
    folder.chmod(0o777)
    return folder


def folder_that_they_may_exchange(served: AsNobody) -> Path:
    folder = served.start.directory / "theirs" / "lib"
    folder.mkdir()
    served.path = (str(folder),)
    return folder.parent


def sitecustomize(served: AsNobody) -> Path:
    file = roots(served) / "sitecustomize.py"
    file.write_text("")
    return given_away(file)


def module_that_all_may_write(served: AsNobody) -> Path:
    folder = roots(served)
    (folder / "sitecustomize.py").write_text("import helper")
    (folder / "helper.py").write_text("")
    (folder / "helper.py").chmod(0o666)
    return folder / "helper.py"


def pth_of_theirs(served: AsNobody) -> Path:
    """In the folder of root's own packages, where a `.pth` is run at every start of Python."""
    base = served.start.directory / "userbase"
    folder = base / LIBRARY.format(*sys.version_info)
    folder.mkdir(parents=True)
    (folder / "hook.pth").write_text("import os\n")
    served.more = {"PYTHONUSERBASE": str(base)}
    return given_away(folder / "hook.pth")


def compiled_module_of_theirs(served: AsNobody) -> Path:
    folder = roots(served)
    (folder / "sitecustomize.py").write_text("")
    (folder / "__pycache__").mkdir()
    return given_away(folder / "__pycache__")


CODE: list[Callable[[AsNobody], Path]] = [
    folder_of_theirs,
    folder_that_all_may_write_to,
    folder_that_they_may_exchange,
    sitecustomize,
    module_that_all_may_write,
    pth_of_theirs,
    compiled_module_of_theirs,
]


@pytest.mark.parametrize("code", CODE, ids=lambda each: each.__name__)
def test_code_that_another_user_decides_is_refused(served: AsNobody, code: Callable[[AsNobody], Path]) -> None:
    path = code(served)
    served.begin()
    assert served.running.wait() == 2
    assert str(path) in served.running.err[-1]
    assert "is part of what root runs: install prefork where only root can write" in served.running.err[-1]
    assert served.running.out == []


@pytest.mark.parametrize("whose", ["a link of theirs", "a venv of theirs", "a venv with a file of theirs"])
def test_interpreter_that_another_user_decides_is_refused(served: AsNobody, whose: str) -> None:
    venv = served.start.directory / ("venv" if whose == "a venv with a file of theirs" else "theirs/venv")
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(served.python)
    if whose != "a link of theirs":
        (venv / "pyvenv.cfg").write_text(f"home = {Path(served.python).parent}\n")
    if whose == "a venv with a file of theirs":
        given_away(venv / "pyvenv.cfg")
    served.python = str(venv / "bin" / "python")
    served.begin()
    assert served.running.wait() == 2
    assert f"{venv}/" in served.running.err[-1]
    assert "is part of what root runs" in served.running.err[-1]
    assert served.running.out == []


@pytest.mark.parametrize("option", ["user", "group"])
@pytest.mark.parametrize("command", ["run", "check"])
def test_file_of_another_user_decides_no_identity(served: AsNobody, command: str, option: str) -> None:
    file = served.start.directory / "options.toml"
    file.write_text(f'{option} = "root"')
    given_away(file)
    if option == "user":
        served.user = ""
    served.command = f"{command} program:daemon"
    served.begin("--config", str(file))
    assert served.running.wait() == 2
    assert f"decides {option}, for which root is needed" in served.running.err[-1]
    assert served.running.out == []
