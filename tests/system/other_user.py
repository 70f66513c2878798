"""A daemon of root whose application is another user's."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import prefork
from support import Start
from system.daemons import Served

PACKAGES = str(Path(msgspec.__file__).parent.parent)
OURS = str(Path(prefork.__file__).parent.parent)
NOBODY = 65534


@pytest.fixture
def anywhere() -> Iterator[Start]:
    """A `Start` in a directory that everybody can go to; pytest keeps its own to itself."""
    directory = Path(tempfile.mkdtemp(prefix="prefork-test-"))
    directory.chmod(0o755)
    start = Start(directory)
    try:
        yield start
    finally:
        start.close()
        shutil.rmtree(directory)


class AsNobody(Served):
    """A daemon whose application is `nobody`'s, who sees the interpreter at a place that all may go to."""

    more: dict[str, str] = {}  # noqa: RUF012
    """Variables that root has besides."""

    mounts: str = "true"
    """A command that mounts something more, for this daemon alone."""

    user: str = "--user nobody"
    """The option that names the user, on the command line."""

    path: tuple[str, ...] = ()
    """Folders that Python looks in besides."""

    command: str = "run program:daemon"

    streams: str = ""
    """Where the shell takes its streams from, and to."""

    def __init__(self, start: Start, name: str, source: str | None = None, **parts: str) -> None:
        super().__init__(start, name, source, **parts)
        self.python = f"{start.directory}/python/bin/python{sys.version_info[0]}.{sys.version_info[1]}"

    def begin(self, *options: str, groups: str = "") -> None:
        # The interpreter may live where only root can go, so it is shown at another place too, to this daemon alone.
        directory = self.start.directory
        places = {
            path: directory / name
            for path, name in ((sys.base_prefix, "python"), (PACKAGES, "packages"), (OURS, "ours"))
        }
        binds = "; ".join(f"mkdir {place} && mount --bind {path} {place}" for path, place in places.items())
        run = f"{self.python} -c 'from prefork.cli import main; main()' {self.command} {self.user} {' '.join(options)}"
        environment = {
            **self.environment,
            **self.more,
            "PYTHONPATH": ":".join(map(str, [places[PACKAGES], places[OURS], *self.path])),
            "LD_LIBRARY_PATH": f"{places[sys.base_prefix]}/lib",
        }
        if self.start.command("unshare", "--mount", "true").wait() != 0:
            pytest.skip("no mount namespace can be had here to show the interpreter to another user")
        script = f"{binds}; {self.mounts}; exec {groups} {run} {self.streams}"
        self.running = self.start.command("unshare", "--mount", "sh", "-c", script, env=environment)


def as_nobody(start: Start, source: str) -> AsNobody:
    theirs = start.directory / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    return AsNobody(start, "user", source.replace("THEIRS", str(theirs)))


def rights(pid: int) -> dict[str, str]:
    """Who a process is, and what the kernel lets it do."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    names = ("Uid", "Gid", "Groups", "CapPrm", "CapEff")
    return {name: " ".join(found[name].split()) for name in names}
