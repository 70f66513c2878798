"""A real systemd, as the first process of namespaces of its own: with units that a test writes, and nothing else.

A booting systemd cleans up: it would empty the machine's own /tmp. So none of the machine's units exist for this one,
and all of the machine's files are read-only to it, but for the test's directory; what it writes to /tmp stays in
memory. Mounts are shared among its own processes alone, as it expects: it hands out credentials by one. `make proof`
runs it, as root and beside a cgroup2 hierarchy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import PATIENCE, children, gone, until

SYSTEMD = next((path for path in ("/lib/systemd/systemd", "/usr/lib/systemd/systemd") if os.path.exists(path)), None)

_BEGIN = """
mkdir {group} && echo $$ > {group}/cgroup.procs
exec unshare --pid --fork --kill-child --mount --mount-proc --cgroup --ipc --uts sh -eu {directory}/inside
"""

_INSIDE = """
mount --make-rprivate /
: > {directory}/console
mount --bind {directory}/console /dev/console
umount -R /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mount --bind /proc/sys /proc/sys
for place in $(awk '{{ print $2 }}' /proc/self/mounts); do
    case $place in /dev*|/run|/proc) ;; *) mount -o remount,bind,ro $place ;; esac
done
for place in / /tmp /var /etc /proc/sys/kernel/hostname; do
    if echo > $place/written-by-a-test || test -w $place; then exit 9; fi
done
mkdir -p /run/test/directory /run/test/written /run/test/work
mount --bind {directory} /run/test/directory
mount -t overlay overlay -o lowerdir=/tmp,upperdir=/run/test/written,workdir=/run/test/work /tmp
mount -t tmpfs tmpfs /var/tmp
mount --bind /run/test/directory {directory}
mount -o remount,bind,rw {directory}
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/systemd
cp -r {directory}/units /run/systemd/system
mount --make-rshared /
exec env -i PATH="$PATH" container=test SYSTEMD_UNIT_PATH=/run/systemd/system \\
    {systemd} --system --unit=empty.target --log-target=console --show-status=no
"""

_STUBS = ("empty", "basic", "network", "shutdown", "sockets", "sysinit")


class Systemd:
    """One that runs; `ctl` is its systemctl."""

    def __init__(self, directory: Path, pid: int) -> None:
        self._directory = directory
        self.pid = pid

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        inside = ["nsenter", "-t", str(self.pid), "-a", *command]
        return subprocess.run(inside, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def ctl(self, *arguments: str) -> str:
        """Run `systemctl`; return what it says. It has to exit 0."""
        done = self.run("systemctl", *arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}\n{self.log()}"
        return done.stdout

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.ctl("show", "--value", f"--property={name}", unit).strip()

    def install(self, name: str, text: str) -> None:
        """Add a unit."""
        # By the kernel's link to the first directory of its mount namespace.
        (Path("/proc") / str(self.pid) / "root" / "run/systemd/system" / name).write_text(text)
        self.ctl("daemon-reload")

    def log(self) -> str:
        return (self._directory / "console").read_text(errors="replace")


@contextmanager
def systemd(directory: Path, **units: str) -> Iterator[Systemd]:
    """Run one with these units (`shop_service` is `shop.service`); nothing of it is left afterwards."""
    hierarchy = _cgroup2()
    if os.geteuid() != 0 or SYSTEMD is None or hierarchy is None or not shutil.which("nsenter"):
        pytest.skip("a systemd of one's own needs root, cgroup2, systemd and nsenter")
    folder = directory / "units"
    folder.mkdir()
    for stub in _STUBS:
        (folder / f"{stub}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    for name, text in units.items():
        (folder / ".".join(name.rsplit("_", 1))).write_text(text)
    group = f"{hierarchy}/prefork-test-{os.getpid()}"
    places = {"directory": str(directory), "group": group, "systemd": SYSTEMD}
    (directory / "inside").write_text(_INSIDE.format(**places))
    with (directory / "errors").open("w") as errors:
        begun = subprocess.Popen(["sh", "-ec", _BEGIN.format(**places)], stdin=subprocess.DEVNULL, stderr=errors)
    try:
        yield _booted(directory, begun)
    finally:
        for pid in children(begun.pid):  # Its first process: with it the kernel ends all others.
            os.kill(pid, 9)
        begun.wait(PATIENCE)
        _remove(Path(group))


def _booted(directory: Path, begun: subprocess.Popen[bytes]) -> Systemd:
    """Return it when it answers; skip the test where this machine does not let it run."""

    def first() -> Systemd | None:
        return next((Systemd(directory, pid) for pid in children(begun.pid)), None)

    def answers() -> bool:
        if begun.poll() is not None:
            return True
        found = first()
        return found is not None and found.run("systemctl", "is-active", "empty.target").stdout.strip() == "active"

    until(answers, "systemd answers")
    found = first() if begun.poll() is None else None
    if found is None:
        pytest.skip("systemd cannot run in a namespace here: " + (directory / "errors").read_text()[-300:])
    return found


def _cgroup2() -> str | None:
    lines = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return next((line[1] for line in lines if line[2] == "cgroup2"), None)


def _remove(group: Path) -> None:
    """Remove a control group and all below it, once the last process there has gone."""
    if not group.exists():
        return
    for pid in map(int, (group / "cgroup.procs").read_text().split()):
        assert gone(pid)
    for directory, _, _ in os.walk(group, topdown=False):
        until(lambda directory=directory: _removed(directory), f"{directory} is empty")  # type: ignore[misc]


def _removed(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:  # EBUSY: a process in it is on its way out.
        return False
    return True
