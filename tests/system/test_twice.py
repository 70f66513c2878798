"""One daemon runs once, however it is started again, and is found again when its files were removed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from prefork._master.identity.claim import name_of
from support import Running, Start, until
from system.commanded import PREFORK
from system.daemons import HEAD, RUN
from system.places import DAEMON, Place

SINGLETON = DAEMON.replace("(Web)", '(Web, replace="old-first")')


class Single:
    """A singleton, and ways to start it once more."""

    def __init__(self, start: Start, source: str = SINGLETON, **environment: str) -> None:
        self.place = Place(start)
        self.top = start.directory
        (self.top / "site").mkdir()
        (self.top / "site" / "program.py").write_text(HEAD + source.replace("NAME", "single") + RUN)
        self.first = self.start(**environment)
        self.first.expect("ready web/0")

    def start(self, *prefix: str, directory: str = "site", **environment: str) -> Running:
        command = (*prefix, sys.executable, str(self.top / "site" / "program.py"))
        return self.place.command(*command, directory=directory, **environment)

    def refused(self, second: Running, swept: bool = False) -> str:
        """Return the one line with which the second start ends; while files are made again it may have no directory."""
        assert second.wait() == 2
        (line,) = second.err
        where = "" if swept else " (runtime directory "
        assert line.startswith(f"prefork: the daemon single is already running: pid {self.first.pid}{where}")
        return line

    def shown(self, **environment: str) -> bool:
        running = self.place.command(PREFORK, "status", directory="site", **environment)
        return running.wait() == 0 and running.out[0].startswith("single: 1 of 1 slot served")


def test_second_start_with_other_variables_is_refused(start: Start) -> None:
    given = f"{start.directory}/given"
    single = Single(start, RUNTIME_DIRECTORY=given)
    line = single.refused(single.start())
    assert line.endswith(f" (runtime directory {given}; `prefork status -n {given}` shows it)")
    single.refused(single.start(RUNTIME_DIRECTORY=f"{start.directory}/other"))
    single.refused(single.start("env", "-i"))
    single.refused(single.start("env", "-i", directory=""))  # As from cron: another directory, the same program.
    (start.directory / "home").mkdir()
    single.refused(single.start("env", "-u", "XDG_RUNTIME_DIR", directory="home"))
    single.refused(single.start("env", "-u", "HOME", "-u", "PWD", "XDG_RUNTIME_DIR=/nowhere"))
    sweep(Path(given))
    single.refused(single.start(), swept=True)
    assert single.first.stop() == 0
    after = single.start()
    after.expect("ready web/0")
    assert after.stop() == 0


def sweep(directory: Path) -> None:
    """Remove all that is in a directory, and itself; a daemon makes it again meanwhile, or at once after."""
    aside = directory.with_name("aside")
    directory.rename(aside)
    shutil.rmtree(aside)


def test_swept_files_are_made_again(start: Start) -> None:
    given = start.directory / "given" / "single"
    single = Single(start, RUNTIME_DIRECTORY=str(given))
    again = f"control: files of the runtime directory {given} were removed; made again there"
    (given / "control.sock").unlink()
    single.first.expect(again, "err")
    assert single.shown(RUNTIME_DIRECTORY=str(given))
    sweep(given.parent)
    until((given / "control.sock").exists, "a new socket")
    assert single.shown(RUNTIME_DIRECTORY=str(given))
    # As after a logout, when only root can make the session's directory.
    aside = given.parent.rename(start.directory / "aside")
    given.parent.write_text("in the way")
    shutil.rmtree(aside)
    moved = single.first.expect(r"control: files of .* were removed; made in (.*)", "err")[1]
    assert single.shown()
    assert single.place.listed()["single"]["runtime_directory"] == moved
    assert single.refused(single.start()).endswith(f"(runtime directory {moved}; `prefork status -n {moved}` shows it)")
    assert single.first.stop() == 0
    assert not os.path.exists(f"{moved}/control.sock")


def test_successor_of_a_killed_master_gets_claim_and_roster(start: Start) -> None:
    """Also after a sweep: the list of processes is written again."""
    given = start.directory / "given"
    single = Single(start, DAEMON, RUNTIME_DIRECTORY=str(given))
    sweep(given)
    single.first.expect("made again there", "err")
    single.first.send(signal.SIGKILL)
    single.first.wait()
    second = single.start(RUNTIME_DIRECTORY=str(given))
    second.expect("adopted 1 worker of a killed master", "err")
    assert second.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process as another user")
def test_start_by_root_and_by_the_owner_is_one_daemon(start: Start) -> None:
    """With sudo, and without: the other one is named with its user."""
    single = Single(start)
    os.chown(start.directory / "site" / "program.py", 65534, 65534)
    name = name_of(65534, "single", f"{start.directory}/site/program.py").decode()[1:]
    code = f"import socket, time; s = socket.socket(1); s.bind({chr(0) + name!r}); s.listen(9); print('bound'); input()"
    assert single.first.stop() == 0
    holder = start.command("setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", "-uc", code, stdin=-1)
    holder.expect("bound")
    second = single.start()
    assert second.wait() == 2
    assert second.err[-1].startswith(f"prefork: the daemon single is already running: pid {holder.pid} of uid 65534")
