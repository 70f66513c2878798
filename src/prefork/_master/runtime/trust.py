"""A directory that is ours alone, on a way that nobody else can turn elsewhere."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Iterator

_MOST_LINKS = 40
"""As many as the kernel follows."""

_ALL_USERS = "0          0 4294967295"
"""/proc/self/uid_map where every user of the machine is known."""


def make(path: str) -> None:
    """Make a directory for us alone; those on the way to it, where they are missing, for all to enter.

    Raises OSError. The mask does not matter: with one of 0, what is made on the way would be everybody's.
    """
    missing = []
    while not _is_there(path):
        missing.append(path)
        path = os.path.dirname(path)
    for each in reversed(missing):
        try:
            os.mkdir(each, 0o700)
            if each != missing[0]:
                os.chmod(each, 0o755)
        except FileExistsError:
            if not _is_there(each):  # Else somebody was quicker, perhaps a daemon that has the same home.
                raise


def _is_there(path: str) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    return True


def why_not_private(path: str) -> str | None:
    """Return why a directory is not ours alone, and what to do about it; None where it is. Raises OSError."""
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return f"it is a symbolic link: name the directory itself ({os.path.realpath(path)})"
    if not stat.S_ISDIR(status.st_mode):
        return "it is no directory"
    if status.st_uid != os.geteuid():
        return f"it belongs to {_name(status.st_uid)}, and this is {_name(os.geteuid())}: remove it, or name another"
    if status.st_mode & 0o022:
        return f"others may write there (mode {stat.S_IMODE(status.st_mode):04o}): chmod go-w {path}"
    owners = {0, os.geteuid(), *_nobody_here()}
    for step, found in _way_to(os.path.dirname(path)):
        if found.st_uid not in owners:
            return f"{step}, on the way to it, belongs to {_name(found.st_uid)}, who could put another one in its place"
        if _anybody_may_exchange(found):
            mode = stat.S_IMODE(found.st_mode)
            return f"others may write to {step}, on the way to it (mode {mode:04o}), and put another one in its place"
    return None


def _anybody_may_exchange(found: os.stat_result) -> bool:
    """Whether others may rename what is in a directory. Where it is ours, our group is our own affair."""
    others = found.st_mode & (0o002 if found.st_uid == os.geteuid() else 0o022)
    return bool(stat.S_ISDIR(found.st_mode) and others and not found.st_mode & stat.S_ISVTX)


def _way_to(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every directory and every link that the kernel goes through; who may change one may change where it leads."""
    at, rest, links = "/", os.path.abspath(path).split("/"), 0
    yield at, os.lstat(at)
    while rest:
        name = rest.pop(0)
        if name == "..":
            at = os.path.dirname(at)
        elif name not in ("", "."):
            step = os.path.join(at, name)
            found = os.lstat(step)
            yield step, found
            if not stat.S_ISLNK(found.st_mode):
                at = step
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            target = os.readlink(step)
            rest[:0] = target.split("/")
            at = "/" if target.startswith("/") else at


def _nobody_here() -> set[int]:
    """In a user namespace, the number that stands for all users who are not in it, the machine's root among them."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            if file.read().strip() == _ALL_USERS:
                return set()
        with open("/proc/sys/kernel/overflowuid", encoding="ascii") as file:
            return {int(file.read())}
    except OSError:
        return set()


def _name(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
