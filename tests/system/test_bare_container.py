"""As in a container that gives little: a user without an entry, no HOME, a read-only root file system, one tmpfs."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from support import Start
from system.daemons import root
from system.other_user import OURS, PACKAGES, anywhere
from system.runs import ASGI, Run, write

__all__ = ["anywhere"]  # A fixture.

UID = "12345"
PYTHON = f"/mnt/python/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
ENVIRONMENT = "PYTHONPATH=/mnt/packages:/mnt/ours LD_LIBRARY_PATH=/mnt/python/lib"
UNSET = "-u HOME -u USER -u LOGNAME -u PWD -u RUNTIME_DIRECTORY -u XDG_RUNTIME_DIR -u TMPDIR"
COMMAND = f"env {UNSET} {ENVIRONMENT} {PYTHON} -m prefork"
BOX = f"""
set -e
mount --make-rprivate /
mkdir root site/python site/packages site/ours
mount --bind {sys.base_prefix} site/python
mount --bind {PACKAGES} site/packages
mount --bind {OURS} site/ours
mount --rbind / root
mount -o remount,ro,bind root
mount --rbind site root/mnt
mount -o remount,ro,bind root/mnt
mount -t tmpfs -o ro,mode=555 none root/run
mount -t tmpfs -o $TMP none root/tmp
shift
cd root
exec chroot . sh -c 'cd /mnt; exec setpriv --reuid {UID} --regid {UID} --clear-groups {COMMAND} "$@"' sh "$@"
"""
"""Shows the interpreter at a place that everybody can go to, in a mount namespace of its own."""


class Boxed(Run):
    """`prefork run` in there; `tmp`: how its only tmpfs is mounted."""

    def __init__(self, start: Start, *arguments: str, tmp: str = "mode=1777") -> None:
        if start.command("unshare", "--mount", "true").wait() != 0:
            pytest.skip("no mount namespace can be had here")
        write(start, "site/shop.py", ASGI)
        self._start = start
        through = ["unshare", "--mount", "sh", "-c", BOX, "sh"]
        super().__init__(start, *arguments, through=through, env={"TMP": tmp})

    def command(self, *arguments: str) -> int:
        """Type a command in there, as the same user; return its status."""
        enter = ["nsenter", "--target", str(self.running.pid), "--mount", "--root", "--setuid", UID, "--setgid", UID]
        script = f'cd /mnt; exec {COMMAND} "$@"'
        return self._start.command(*enter, "sh", "-c", script, "sh", *arguments).wait()


@pytest.mark.skipif(not root(), reason="only root can make such surroundings")
def test_defaults_work_where_little_is_given(anywhere: Start) -> None:
    """Start, request, reload, commands and stop."""
    run = Boxed(anywhere, "shop:app", "-w", "2")
    run.ready()
    old = run.pids(2)
    status = Path(f"/proc/{next(iter(old))}/status").read_text()
    assert f"Uid:\t{UID}" in status
    run.running.send(signal.SIGHUP)
    run.running.expect("^reload: done", "err")
    assert not old & run.pids(2)
    for words in (["status"], ["list"], ["reload"], ["explain", "web/0"], ["stacks", "web/0"], ["check", "shop:app"]):
        assert run.command(*words) == 0, words
    assert run.command("stop") == 0
    assert run.running.wait() == 0


@pytest.mark.skipif(not root(), reason="only root can make such surroundings")
def test_without_a_writable_directory_the_remedy_is_named(anywhere: Start) -> None:
    run = Boxed(anywhere, "shop:app", tmp="ro")
    assert run.running.wait() == 1
    assert run.running.err[-1] == (
        f"prefork: cannot create the runtime directory /tmp/prefork-{UID}/shop: Read-only file system; "
        "RUNTIME_DIRECTORY names another place"
    )
