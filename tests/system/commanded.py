"""The real command line beside a real daemon."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import prefork
from support import Running, until
from system.daemons import Served

PREFORK = Path(sys.executable).with_name("prefork")


def pids_of(client: prefork.Client) -> dict[str, int]:
    """Return the process of each slot; 0 if it has none."""
    return {slot["key"]: slot["pid"] or 0 for slot in client.status()["slots"]}


class Commanded(Served):
    """A daemon, and `prefork` in its directory."""

    def command(self, *arguments: str, **options: Any) -> Running:
        """Start a command."""
        if not PREFORK.exists():
            pytest.skip(f"prefork is not installed beside {sys.executable}")
        env = {**self.environment, **options.pop("env", {})}
        return self.start.command(PREFORK, *arguments, env=env, **options)

    def says(self, *arguments: str, status: int = 0, **options: Any) -> str:
        """Return what a command has written to standard output, when it has ended with this status."""
        command = self.command(*arguments, **options)
        assert command.wait() == status, (command.out, command.err)
        return "\n".join(command.out)

    def refuses(self, *arguments: str, status: int = 1, **options: Any) -> str:
        """Return what a command has written to standard error, and nothing to standard output."""
        command = self.command(*arguments, **options)
        assert command.wait() == status, (command.out, command.err)
        assert command.out == []
        return "\n".join(command.err)

    def json(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """Return the one object that a command has written."""
        found: dict[str, Any] = json.loads(self.says(*arguments, "--json", status=status))
        return found

    def slots(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """Return what `status` says of each slot."""
        return {slot["key"]: slot for slot in self.json("status", *arguments)["slots"]}

    def pids(self) -> dict[str, int]:
        """Return the process of each slot."""
        return pids_of(self.client)

    @property
    def client(self) -> prefork.Client:
        return prefork.connect(self.environment["RUNTIME_DIRECTORY"])

    def at_rest(self, *keys: str, generation: int = 1) -> dict[str, int]:
        """Wait until these are ready, a spare is too, and nothing else is there; return the workers' pids."""
        self.ready(*keys, generation=generation)
        until(self.rests, "the daemon at rest")
        pids = pids_of(self.client)
        assert pids.keys() == set(keys)
        return pids

    def rests(self) -> bool:
        """Whether all that is wanted is there, and nothing else."""
        seen = self.client.status()
        settled = all(slot["state"] == "ready" and not slot["leaving"] for slot in seen["slots"])
        return settled and seen["change"] is None and [mold["spares"] for mold in seen["molds"]] == [1]
