"""The Python files below some folders, and what has changed in them.

A change is one of the content: a file that is written again as it was, as a generator does at each import, is none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from math import inf

_IGNORED = {"__pycache__", "node_modules", "site-packages"}
"""Names of folders without code of the application, besides those that begin with a dot."""
_OF_ENVIRONMENT = "pyvenv.cfg"
"""The file that makes a folder a virtual environment (PEP 405)."""

Stat = tuple[int, int, int]
"""Inode, size and time of the last change of the inode, which also a rename sets."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder by its path and what is there: another inode is another folder."""

    path: str
    inode: tuple[int, int]


@dataclass(slots=True)
class Tree:
    """What the folders held at the last `scan`. `folders`: breadth first, the given ones before those in them."""

    roots: Iterable[str]
    folders: list[Folder] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)  # path -> reason
    _files: dict[str, tuple[Stat, bytes]] = field(default_factory=dict)  # path -> stat, digest of the content

    def scan(self) -> list[str]:
        """Read the folders again; return the files that have another content than at the last scan, or are gone."""
        before, self._files = self._files, {}
        self.folders, self.unreadable = [], {}
        changed = [path for path, stat in self._walk() if self._is_new(path, stat, before.get(path))]
        return sorted([*changed, *(before.keys() - self._files.keys())])

    def since(self, moment: float) -> list[str]:
        """Return the files that were changed after a moment (time.time), by the last scan."""
        return sorted(path for path, (stat, _) in self._files.items() if stat[2] > moment * 1e9)

    def changed_at(self, paths: Iterable[str]) -> float:
        """Return when the last of these files was changed (time.time), by the last scan; infinity where one is gone."""
        return max(self._files[path][0][2] / 1e9 if path in self._files else inf for path in paths)

    def _is_new(self, path: str, stat: Stat, former: tuple[Stat, bytes] | None) -> bool:
        if former is not None and former[0] == stat:
            self._files[path] = former
            return False
        try:
            with open(path, "rb") as file:
                digest = blake2b(file.read(), digest_size=16).digest()
        except OSError:
            digest = b""  # Not readable, or gone by now.
        self._files[path] = stat, digest
        return former is None or former[1] != digest

    def _walk(self) -> Iterator[tuple[str, Stat]]:
        seen: set[tuple[int, int]] = set()
        level = list(self.roots)
        while level:
            below: list[str] = []
            for path in level:
                try:
                    found = os.stat(path)
                    with os.scandir(path) as entries:
                        listed = sorted(entries, key=lambda entry: entry.name)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    self.unreadable[path] = error.strerror or str(error)
                    continue
                inode = found.st_dev, found.st_ino
                if inode in seen or (path not in self.roots and any(one.name == _OF_ENVIRONMENT for one in listed)):
                    continue  # Another link to it was followed, or it is a virtual environment.
                seen.add(inode)
                self.folders.append(Folder(path, inode))
                for entry in listed:
                    with suppress(OSError):  # It is gone by now.
                        if entry.name.endswith((".py", ".pyw", ".pyx", ".pyd")) and entry.is_file():
                            stat = entry.stat()
                            yield entry.path, (stat.st_ino, stat.st_size, stat.st_ctime_ns)
                        elif not entry.name.startswith(".") and entry.name not in _IGNORED and entry.is_dir():
                            below.append(entry.path)
            level = below
