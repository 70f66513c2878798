"""Whether a directory is private, and no other user can redirect its path."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Iterator

_MOST_LINKS = 40
"""Symbolic links that the kernel follows in one path."""

_ALL_USERS = "0          0 4294967295"
"""/proc/self/uid_map outside of any user namespace."""


def make(path: str) -> None:
    """Create a directory with mode 0700, and its missing parents with mode 0755, whatever the umask.

    Raises OSError. With a umask of 0, parents made by `os.makedirs` would be writable by all users.
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
            if not _is_there(each):  # Else another process was faster, perhaps a daemon of the same user.
                raise


def _is_there(path: str) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    return True


def why_not_private(path: str) -> str | None:
    """Return why a directory is not private, and what to do about it; None if it is. Raises OSError."""
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return f"it is a symbolic link: use the directory itself ({os.path.realpath(path)})"
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a directory"
    if status.st_uid != os.geteuid():
        return f"it belongs to {_name(status.st_uid)}, not to {_name(os.geteuid())}: remove it, or use another one"
    if status.st_mode & 0o022:
        return f"other users can write to it (mode {stat.S_IMODE(status.st_mode):04o}): chmod go-w {path}"
    return why_redirectable(os.path.dirname(path))


def why_redirectable(path: str) -> str | None:
    """Return why another user could put something else in the place of what is in a directory; None if none can.

    Raises OSError.
    """
    owners = {0, os.geteuid(), *_overflow_uid()}
    for step, found in steps_to(path):
        if found.st_uid not in owners:
            return f"its parent {step} belongs to {_name(found.st_uid)}, who could replace it: use another one"
        if _others_can_replace(found):
            mode = stat.S_IMODE(found.st_mode)
            return f"other users can write to its parent {step} (mode {mode:04o}) and replace it: chmod go-w {step}"
    return None


def why_foreign(path: str) -> str | None:
    """Return why another user decides what a file contains, or which file it is; None if none does. Raises OSError."""
    path = os.path.abspath(path)
    found = os.lstat(path)
    if found.st_uid not in (0, os.geteuid()):
        return f"it belongs to {_name(found.st_uid)}: chown root {path}"
    if found.st_mode & (0o002 if found.st_uid == os.geteuid() else 0o022) and not stat.S_ISLNK(found.st_mode):
        return f"other users can write to it (mode {stat.S_IMODE(found.st_mode):04o}): chmod go-w {path}"
    return why_redirectable(path if stat.S_ISLNK(found.st_mode) else os.path.dirname(path))


def _others_can_replace(found: os.stat_result) -> bool:
    """Return whether other users can rename entries of a directory. If it is ours, we trust our group."""
    others = found.st_mode & (0o002 if found.st_uid == os.geteuid() else 0o022)
    return bool(stat.S_ISDIR(found.st_mode) and others and not found.st_mode & stat.S_ISVTX)


def steps_to(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every directory and link that the kernel passes: a user who can change one can redirect the path."""
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


def _overflow_uid() -> set[int]:
    """Return the uid that a user namespace shows for all users outside of it, such as the host's root; else none."""
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
