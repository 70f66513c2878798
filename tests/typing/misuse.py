"""What type checkers refuse: each marked line is an error to mypy and pyright. A mark without an error fails, too."""

from __future__ import annotations

from dataclasses import dataclass

import prefork


@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    """A worker."""

    id: int


daemon = prefork.Daemon("typed", share="thaw")  # type: ignore[arg-type]
prefork.Daemon("typed", worker=4)  # type: ignore[call-arg]
prefork.Listener("tcp://127.0.0.1:8000", sharing="mine")  # type: ignore[arg-type]
prefork.Pool(Web, size="4")  # type: ignore[arg-type]
prefork.connect().scale("web", "many")  # type: ignore[arg-type]
prefork.connect(3)  # type: ignore[arg-type]
prefork.connect().status()["generations"]  # type: ignore[typeddict-item]
prefork.toml_file("typed.toml")  # type: ignore[call-arg]


@daemon.worker(Web, drain_timout=60)  # type: ignore[call-arg]
def misspelt(worker: prefork.Worker[Web]) -> None:
    """Have an option that does not exist."""


@daemon.worker(Web, replace="never")  # type: ignore[arg-type]
def undecided(worker: prefork.Worker[Web]) -> None:
    """Have an option with a value that is not allowed."""
    print(worker.context.name)  # type: ignore[attr-defined]


def serve() -> None:
    """Run with an option that does not exist."""
    prefork.run("shop:app", wokers=4)  # type: ignore[call-arg]
