"""The smallest daemon: one worker, replaced at each SIGHUP."""

import os
from dataclasses import dataclass, field

import prefork


@dataclass(frozen=True)
class Hello(prefork.WorkerContext):
    """The worker and the message that it prints."""

    message: str = field(compare=False)


def greet(_config: object) -> None:
    """Print what to do next."""
    print(f"Please send SIGHUP to {os.getpid()} to relaunch a worker")


def start(_config: object) -> list[int]:
    """Start the worker."""
    return [prefork.fork_worker_process(Hello("Hello. I'm a worker."))]


def work(worker: Hello) -> None:
    """Run in the worker's process."""
    print(f'"{worker.message}"')


def main() -> None:
    """Run the daemon."""
    settings = prefork.PreforkSettings(on_start=greet, update_config=lambda: "a configuration", update_server=start)
    prefork.default_main(settings, work)


if __name__ == "__main__":
    main()
