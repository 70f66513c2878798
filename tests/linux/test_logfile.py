"""A log file: whose it is, who may read it, and what it may not be."""

from __future__ import annotations

import os
import pty
import re
import stat
from pathlib import Path

import pytest

from prefork._errors import SystemFailure
from prefork._linux.terminal import is_journal
from prefork._master.log.log import LogFile, log_options
from prefork._options.records import DaemonOptions
from prefork._wire.launch import MasterLaunch
from system.daemons import root

NOBODY = 65534


def written(file: LogFile, text: bytes) -> os.stat_result:
    descriptor = file.open()
    try:
        os.write(descriptor, text)
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def test_it_is_made_for_its_owner_and_its_group_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    status = written(LogFile(str(path)), b"one\n")
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o640, os.geteuid())
    path.chmod(0o600)
    assert stat.S_IMODE(written(LogFile(str(path)), b"two\n").st_mode) == 0o600, "an operator has chosen that mode"
    assert path.read_bytes() == b"one\ntwo\n"


def test_who_names_a_link_means_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a.log")
    written(LogFile(str(tmp_path / "link")), b"one\n")
    assert (tmp_path / "a.log").read_bytes() == b"one\n"


@pytest.mark.skipif(not root(), reason="only root can give a file to another group")
def test_log_file_made_by_root_is_readable_by_its_group(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    status = written(LogFile(str(path), NOBODY), b"one\n")
    assert (status.st_uid, status.st_gid) == (0, NOBODY)
    os.chown(path, -1, 0)
    assert written(LogFile(str(path), NOBODY), b"two\n").st_gid == 0, "one that was there is left as it is"


@pytest.mark.parametrize("exists", [True, False])
def test_root_refuses_a_log_path_others_could_replace(tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "shadow"
    if exists:
        target.write_text("root:*")
    (tmp_path / "a.log").symlink_to(target)
    with pytest.raises(
        SystemFailure,
        match=r"cannot open the log file .*a\.log for writing: it is a symbolic link, which root does not follow$",
    ):
        LogFile(str(tmp_path / "a.log"), NOBODY).open()
    assert target.exists() == exists


@pytest.fixture
def theirs(open_path: Path) -> Path:
    """A directory of the application's user, in which a file of root's shall not be touched."""
    path = open_path / "theirs"
    path.mkdir()
    os.chown(path, NOBODY, NOBODY)
    return path


WAYS = ["theirs", "below theirs", "their link", "a link to theirs", "open to all"]


def reached(theirs: Path, way: str) -> Path:
    """Make a way to a log file on which another user decides."""
    ours = theirs.parent / "ours"
    match way:
        case "theirs":
            return theirs
        case "below theirs":
            (theirs / "deep").mkdir()
            return theirs / "deep"
        case "their link":
            ours.mkdir()
            (theirs / "link").symlink_to(ours)
            return theirs / "link"
        case "a link to theirs":
            ours.symlink_to(theirs)
            return ours
        case _:
            ours.mkdir()
            ours.chmod(0o777)
            return ours


@pytest.mark.skipif(not root(), reason="only root has a master whose application is another user")
@pytest.mark.parametrize("way", WAYS)
def test_root_makes_no_log_where_another_user_decides(theirs: Path, way: str) -> None:
    path = reached(theirs, way) / "a.log"
    before = sorted(map(str, theirs.parent.rglob("*")))
    with pytest.raises(SystemFailure, match=r"cannot open the log file .*a\.log for writing: .*(belongs to|can write)"):
        LogFile(str(path), NOBODY).open()
    assert sorted(map(str, theirs.parent.rglob("*"))) == before


@pytest.mark.skipif(not root(), reason="only root has a master whose application is another user")
@pytest.mark.parametrize("way", ["a file of theirs", "another name of a file"])
def test_root_adds_to_no_file_that_is_not_its_own(open_path: Path, way: str) -> None:
    sticky = open_path / "sticky"
    sticky.mkdir()
    sticky.chmod(0o1777)
    path = sticky / "a.log"
    path.write_text("kept")
    if way == "a file of theirs":
        os.chown(path, NOBODY, NOBODY)
    else:
        os.link(path, sticky / "other")
    with pytest.raises(SystemFailure, match="it belongs to another user, or has another name elsewhere"):
        LogFile(str(path), NOBODY).open()
    assert path.read_text() == "kept"


def test_what_cannot_be_opened_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(SystemFailure, match=rf"^cannot open the log file {tmp_path} for writing: Is a directory$"):
        LogFile(str(tmp_path)).open()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SystemFailure, match="No such device or address"):  # The master does not wait for a reader.
        LogFile(str(tmp_path / "fifo")).open()


def test_journal_is_the_stream_that_the_manager_named(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    ours, theirs = pty.openpty()
    with open(tmp_path / "log", "wb") as file:
        status = os.fstat(writer)
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        streams = {"pipe": writer, "terminal": theirs, "file": file.fileno()}
        assert [name for name, stream in streams.items() if is_journal(stream, environ)] == ["pipe"]
        assert not is_journal(writer, {})
        assert not is_journal(writer, {"JOURNAL_STREAM": "pipe"})
    for descriptor in (reader, writer, ours, theirs):
        os.close(descriptor)
    assert not is_journal(writer, environ), "a stream that is closed"


@pytest.mark.parametrize("journal", [False, True])
@pytest.mark.parametrize("log_file", [None, "a.log"])
def test_lines_have_a_time_unless_the_journal_adds_it(
    monkeypatch: pytest.MonkeyPatch, journal: bool, log_file: str | None
) -> None:
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}" if journal else "1:2")
    options = DaemonOptions(log_file=log_file)
    launch = MasterLaunch(name="shop", target={}, command=(), argv=(), directory=None, environ={}, options=options)
    form = log_options(launch).form
    timed = re.match(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} words", form.message("words"))
    assert bool(timed) == (log_file is not None or not journal)
