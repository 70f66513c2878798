"""What is in the files that the operator has named for the workers, such as a certificate's key.

The master reads them for each plan, with its own rights: under `--user` the key may be root's alone. The mold checks
what was read, as part of the plan; each worker of that plan gets the same, whatever the files hold by then. It travels
in sealed memory, which has no name in a file system, and whose reader closes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..._linux import memfd, regular_file
from ..._wire.launch import Identity, MasterLaunch
from ..forks.privileges import acting_as
from ..paths import trust

Contents = Mapping[str, bytes]
"""What is in each file, by the option that names it."""


class Files:
    """The files of one daemon. `paths`: by option. `identity`: the application's, None for the master's own."""

    def __init__(self, paths: Mapping[str, str], identity: Identity | None = None) -> None:
        self.paths = paths
        self._identity = identity
        self.latest: Contents = {}
        """What was read for the last plan."""
        self._planned: dict[int, Contents] = {}  # by generation

    @classmethod
    def of(cls, launch: MasterLaunch) -> Files:
        """Return those that a launch names."""
        return cls(launch.files, launch.identity)

    def read(self) -> Contents:
        """Return what they hold. Raises OSError, which names the option and the file."""
        return {name: self._read(name, path) for name, path in self.paths.items()}

    def read_for(self, generation: int) -> Contents:
        """Return what they hold, and keep it for the plan that a generation is to compute. Raises OSError."""
        self.latest = self._planned[generation] = self.read()
        return self.latest

    def planned(self, generation: int) -> Contents:
        """Return what was read for the last plan of a generation."""
        return self._planned.get(generation, {})

    def forget(self, generation: int) -> None:
        """Drop what was read for a generation: no plan of it follows."""
        self._planned.pop(generation, None)

    def _read(self, name: str, path: str) -> bytes:
        try:
            with acting_as(self._reader(path)):
                return regular_file.read(path)
        except OSError as error:
            raise OSError(error.errno, f"{name}: {path} cannot be read: {error.strerror}") from None

    def _reader(self, path: str) -> Identity | None:
        """Return as whom to read: as the application's user where a user could make the path lead to root's files."""
        if self._identity is None or os.geteuid() != 0 or trust.why_foreign(path) is None:
            return None
        return self._identity


@contextmanager
def in_memory(contents: Contents) -> Iterator[list[int]]:
    """Yield a descriptor of sealed memory for each file, in order. Raises OSError."""
    made: list[int] = []
    try:
        made.extend(memfd.write("prefork-file", data) for data in contents.values())
        yield made
    finally:
        for descriptor in made:
            os.close(descriptor)
