"""Two kinds of worker in one daemon, both replaced at each SIGHUP."""

import os
from dataclasses import dataclass, field

import prefork


@dataclass(frozen=True)
class Reader(prefork.WorkerContext):
    """A worker of the first kind."""

    message: str = field(compare=False)


@dataclass(frozen=True)
class Writer(prefork.WorkerContext):
    """A worker of the second kind: another class, with parameters of its own."""

    message: str = field(compare=False)
    times: int = field(compare=False)


def greet(_config: object) -> None:
    """Print what to do next."""
    print(f"Please send SIGHUP to {os.getpid()} to relaunch the workers")


def start(_config: object) -> list[int]:
    """Start one worker of each kind."""
    workers = Reader("Hello. I'm a reader."), Writer("Hello. I'm a writer.", times=2)
    return [prefork.fork_worker_process(worker) for worker in workers]


def work(worker: Reader | Writer) -> None:
    """Run in each worker's process."""
    match worker:
        case Reader(message):
            print(message)
        case Writer(message, times):
            print(" ".join([message] * times))


def main() -> None:
    """Run the daemon."""
    settings = prefork.PreforkSettings(on_start=greet, update_config=lambda: "a configuration", update_server=start)
    prefork.default_main(settings, work)


if __name__ == "__main__":
    main()
