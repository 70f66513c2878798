"""A claim: which second start it refuses, in whose name, and what a stranger can do to it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from prefork._errors import UsageError
from prefork._master.identity.claim import Claim, name_of
from prefork._master.identity.lock import Noted
from prefork._master.runtime.presence import Runtime

pytestmark = pytest.mark.processes

OTHER_USER = 65534

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def claim(program: Path, name: str = "chat", log: Callable[[str], object] = print) -> Claim:
    return Claim(Noted(name, str(program.parent)), str(program), log)


@contextmanager
def another_process(uid: int, act: Callable[[], object]) -> Iterator[int]:
    """Act in a process of this user, which lives until the end; yield its pid."""
    done, end = os.pipe(), os.pipe()
    if (pid := os.fork()) == 0:
        os.close(end[1])
        os.setresuid(uid, uid, uid)
        held = act()
        os.write(done[1], b"done")
        os.read(end[0], 1)
        del held
        os._exit(0)
    os.close(done[1])
    assert os.read(done[0], 4) == b"done"
    try:
        yield pid
    finally:
        for number in (done[0], *end):
            os.close(number)
        os.waitpid(pid, 0)


def test_second_claim_is_refused_with_pid_and_directory(tmp_path: Path) -> None:
    place = tmp_path / "runtime"
    place.mkdir()
    first, runtime = claim(tmp_path / "chat.py"), Runtime(str(place), Noted("chat", "/srv"))
    with pytest.raises(UsageError) as caught:
        claim(tmp_path / "chat.py")
    shown = f"{place}; `prefork status -n {place}` shows it), started in /srv; give this one another name"
    assert str(caught.value).startswith(
        f"the daemon chat is already running: pid {os.getpid()} (runtime directory {shown}"
    )
    runtime.close()
    with pytest.raises(UsageError, match=f"is already running: pid {os.getpid()}$"):
        claim(tmp_path / "chat.py")
    first.close()
    claim(tmp_path / "chat.py").close()


def test_other_names_and_programs_are_other_daemons(tmp_path: Path) -> None:
    claims = [claim(tmp_path / "chat.py"), claim(tmp_path / "chat.py", "till"), claim(tmp_path / "b" / "chat.py")]
    for each in claims:
        each.close()


def test_program_is_the_same_by_link_and_by_real_path(tmp_path: Path) -> None:
    (tmp_path / "releases" / "1").mkdir(parents=True)
    link = tmp_path / "current"
    link.symlink_to("releases/1")
    first = claim(link / "chat.py")
    for path in (link, link.resolve()):
        with pytest.raises(UsageError, match="already running"):
            claim(path / "chat.py")
    link.unlink()
    link.symlink_to("releases")
    with pytest.raises(UsageError, match="already running"):
        claim(link / "chat.py")
    first.close()


def test_program_outside_of_its_directory_has_one_daemon_a_site(tmp_path: Path) -> None:
    program = str(tmp_path / "bin" / "chatd")
    sites = [str(tmp_path / name) for name in "ab"]
    claims = [Claim(Noted("chatd", site), program, print) for site in sites]
    with pytest.raises(UsageError, match="already running"):
        Claim(Noted("chatd", sites[0]), program, print)
    for each in claims:
        each.close()


def test_program_in_its_directory_is_one_daemon_from_anywhere(tmp_path: Path) -> None:
    first = claim(tmp_path / "site" / "chat.py")
    for directory in "/", str(tmp_path), str(tmp_path / "home"):
        with pytest.raises(UsageError, match="already running"):
            Claim(Noted("chat", directory), str(tmp_path / "site" / "chat.py"), print)
    first.close()


def test_refused_claim_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    first = claim(tmp_path / "chat.py")
    with pytest.raises(UsageError):
        claim(tmp_path / "link" / "chat.py")
    first.close()
    claim(tmp_path / "link" / "chat.py").close()


def bound(name: bytes, listens: bool, full: bool = False) -> list[socket.socket]:
    held = socket.socket(socket.AF_UNIX)
    held.bind(name)
    if not listens:
        return [held]
    held.listen(0)
    asking = [socket.socket(socket.AF_UNIX) for _ in range(full)]
    for each in asking:
        each.connect(name)
    return [held, *asking]


@ROOT
@pytest.mark.parametrize(("listens", "full"), [(True, False), (True, True), (False, False)])
def test_stranger_is_named_and_blocks_no_start(tmp_path: Path, listens: bool, full: bool) -> None:
    name, lines = name_of(0, "chat", str(tmp_path / "chat.py")), list[str]()
    with another_process(OTHER_USER, lambda: bound(name, listens, full)) as pid:
        claim(tmp_path / "chat.py", log=lines.append).close()
        shown = "@" + name[1:].decode()
        assert [line.partition(",")[0] for line in lines] == [
            f"start: pid {pid} of uid {OTHER_USER} keeps the abstract socket {shown}"
        ]
    claim(tmp_path / "chat.py", log=lines.append).close()
    assert len(lines) == 1


@ROOT
def test_stranger_in_a_users_place_is_named(tmp_path: Path) -> None:
    """A user who may not see what root has open learns from the kernel that it is not a process of its own."""
    name, lines = name_of(OTHER_USER, "chat", "/srv/chat.py"), list[str]()
    held = bound(name, listens=True)

    def as_user() -> None:
        Claim(Noted("chat", "/srv"), "/srv/chat.py", lines.append).close()
        assert lines[0].startswith(f"start: pid {os.getppid()} of uid 0 keeps the abstract socket")

    with another_process(OTHER_USER, as_user):
        pass
    held[0].close()


@ROOT
def test_owner_of_the_program_and_root_are_one_daemon(open_path: Path) -> None:
    """With sudo, and without."""
    program = open_path / "chat.py"
    program.touch()
    os.chown(program, OTHER_USER, OTHER_USER)
    with another_process(OTHER_USER, lambda: claim(program)) as pid, pytest.raises(UsageError) as caught:
        claim(program)
    assert str(caught.value).startswith(f"the daemon chat is already running: pid {pid} of uid {OTHER_USER}")
    assert str(caught.value).endswith("; give this one another name, as in `prefork run --name NAME`")

    def as_owner() -> None:
        with pytest.raises(UsageError, match=f"already running: pid {os.getppid()} of uid 0"):
            claim(program)

    first = claim(program)
    with another_process(OTHER_USER, as_owner):
        pass
    first.close()


def asked(name: bytes) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as asking:
        try:
            asking.connect(name)
        except BlockingIOError:
            return False
        return True


def test_many_questions_do_not_hide_the_holder(tmp_path: Path) -> None:
    """Each refused start leaves a connection in the queue, which is never emptied."""
    first = claim(tmp_path / "chat.py")
    name = name_of(os.geteuid(), "chat", str(tmp_path / "chat.py"))
    while asked(name):
        pass
    with pytest.raises(UsageError, match=f"already running: pid {os.getpid()}"):
        claim(tmp_path / "chat.py")
    first.close()
