"""The smallest daemon: one worker, started again at each SIGHUP."""

import os
from dataclasses import dataclass, field

import prefork


@dataclass(frozen=True)
class Hello(prefork.WorkerContext):
    """The one worker, and what it is to say."""

    message: str = field(compare=False)


def greet(_config: object) -> None:
    """Tell who started us what to do next."""
    print(f"Please send SIGHUP to {os.getpid()} to relaunch a worker")


def start(_config: object) -> list[int]:
    """Start the worker."""
    return [prefork.fork_worker_process(Hello("Hello. I'm a worker."))]


def work(worker: Hello) -> None:
    """What the worker does, in a process of its own."""
    print(f'"{worker.message}"')


def main() -> None:
    """Run the daemon."""
    settings = prefork.PreforkSettings(on_start=greet, update_config=lambda: "a configuration", update_server=start)
    prefork.default_main(settings, work)


if __name__ == "__main__":
    main()
