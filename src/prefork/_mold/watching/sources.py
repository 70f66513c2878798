"""Waiting until code changes: the kernel's notices say that something has, and a scan what."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from .tree import Folder, Tree

_STEP, _SETTLED, _LONGEST = 20, 320, 3000
"""Milliseconds between two looks at the notices; without one until a burst of writes is over; of a burst, at most."""
_PAUSE = 1.0
"""Seconds between two scans where the kernel has no notices left to give."""


def changes(
    roots: Sequence[str], since: float, library: Any, say: Callable[[str], None]
) -> Iterator[tuple[list[str], float]]:
    """Yield the Python files below `roots` that have changed, and when the last of them has (time.time).

    All are scanned at the start. `since`: a moment (time.time) from which on changes are yielded first, 0.0 for none.
    `say` gets what is not watched.
    """
    tree = Tree(roots)
    tree.scan()
    said: set[str] = set()
    if since and (missed := tree.since(since)):
        yield missed, tree.changed_at(missed)
    while True:
        folders = tree.folders
        for path, reason in tree.unreadable.items():
            _once(f"{path} cannot be watched: {reason}: make it readable, or name others by --reload-dir", said, say)
        notices = _Notices(folders, roots, library, lambda text: _once(text, said, say))
        quiet_since = time.time()
        if changed := tree.scan():  # What has changed since the scan before, when these notices were not asked for yet.
            yield changed, _moment(tree, changed, quiet_since)
        while tree.folders == folders:
            quiet_since = notices.wait()
            if changed := tree.scan():
                yield changed, _moment(tree, changed, quiet_since)


def _moment(tree: Tree, changed: list[str], quiet_since: float) -> float:
    """Return when the last change was: what is gone has no time, and a file server's clock may be ahead."""
    at = tree.changed_at(changed)
    return at if at <= time.time() else quiet_since


def _once(text: str, said: set[str], say: Callable[[str], None]) -> None:
    if text not in said:
        said.add(text)
        say(text)


class _Notices:
    """The kernel's notices of changes in some folders, as far as it gives them, and in those around the roots.

    The latter say that a root was replaced: a notice is of an inode, and the path leads to another one then.
    """

    def __init__(
        self, folders: Sequence[Folder], roots: Sequence[str], library: Any, say: Callable[[str], None]
    ) -> None:
        known = [folder.path for folder in folders]
        around = [os.path.dirname(root) for root in roots]
        paths = list(dict.fromkeys([*known, *(path for path in around if os.access(path, os.R_OK | os.X_OK))]))
        paths = [path for path in paths if os.path.isdir(path)]
        self._relevant = {*known, *roots}
        self._notify: Any = None
        count = len(paths)
        while count and self._notify is None:
            try:
                self._notify = _asked(library, paths[:count])
            except FileNotFoundError:
                paths = [path for path in paths if os.path.isdir(path)]
                count = min(count, len(paths))
            except (OSError, RuntimeError):  # Its own error where there is no instance left is a RuntimeError.
                count //= 2
        if count < len(paths):
            say(_too_few(paths, count))

    def wait(self) -> float:
        """Wait until something has changed, and the burst of writes is over; return since when (time.time)."""
        if self._notify is None:
            time.sleep(_PAUSE)
            return time.time()
        while not any(self._is_relevant(path) for _, path in self._read(0)):
            pass
        end = time.monotonic() + _LONGEST / 1000
        while self._read(_SETTLED) and time.monotonic() < end:
            pass
        return time.time() - _SETTLED / 1000

    def _read(self, timeout: int) -> set[tuple[int, str]]:
        found = self._notify.watch(_LONGEST, _STEP, timeout, None)
        return found if isinstance(found, set) else set()

    def _is_relevant(self, path: str) -> bool:
        return path.endswith(".py") or path in self._relevant or os.path.isdir(path)


def _asked(library: Any, paths: list[str]) -> Any:
    polling = os.environ.get("WATCHFILES_FORCE_POLLING", "").lower() not in ("", "false", "disable", "disabled")
    return library.RustNotify(paths, False, polling, 300, False, False)


def _too_few(paths: list[str], count: int) -> str:
    """Return what is not watched, and what to do."""
    limit = "?"
    name = "max_user_watches" if count else "max_user_instances"
    with suppress(OSError), open(f"/proc/sys/fs/inotify/{name}", encoding="ascii") as file:
        limit = file.read().strip()
    what = f"{len(paths) - count} of {len(paths)} folders are not watched (the first: {paths[count]})" if count else (
        f"no folder can be watched, so they are read each {_PAUSE:.0f} s"
    )  # fmt: skip
    return f"{what}: fs.inotify.{name} is {limit}: raise it by sysctl, or name fewer by --reload-dir"
