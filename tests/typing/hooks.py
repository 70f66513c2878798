"""A program with hooks: checked by mypy and by pyright, strictly, and never run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, assert_type

import prefork


@dataclass(frozen=True)
class Greeter(prefork.WorkerContext):
    """A worker with a file, and an encoding of its own."""

    id: int
    log: prefork.Descriptor

    def launch(self) -> prefork.Launch:
        """Say how its process is started."""
        return prefork.Launch(env={"ID": str(self.id)}, affinity=(0,), nice=5, interpreter_options=["-X", "dev"])

    def encode(self) -> bytes:
        """Encode."""
        return f"{self.id} {self.log}".encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode."""
        number, log = map(int, data.split())
        return cls(number, prefork.Descriptor(log))


@dataclass(frozen=True)
class Settings:
    """What the program's own configuration is."""

    count: int


def update(resource: prefork.PreforkResource[Greeter]) -> Settings | None:
    """Set the workers."""
    settings = Settings(3)
    prefork.update_worker_set(resource, [Greeter(i, prefork.Descriptor(2)) for i in range(settings.count)])
    return settings


def fork(context: Greeter) -> int:
    """Start one."""
    return prefork.fork_worker_process(context, [f"id={context.id}"])


def terminate(settings: Settings, pids: Sequence[int]) -> None:
    """Be called at TERM."""
    print(settings.count, pids)


def work(context: Greeter) -> None:
    """Be one."""
    prefork.ready()
    while not prefork.draining():
        print(context.id)


def main() -> None:
    """Run it."""
    settings = prefork.relaunch_settings(prefork.PreforkResource[Greeter](), update, fork)
    assert_type(settings, prefork.PreforkSettings[Settings])
    prefork.default_main(replace(settings, on_terminate=terminate, drain_timeout=5.0), work, name="greeters")
