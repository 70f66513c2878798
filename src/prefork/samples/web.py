"""A preforked web server: the master opens the socket, each worker serves it with uvicorn."""

import argparse
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import prefork


@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    """A web worker: its number, and the listening socket that all workers share."""

    id: int
    listener: prefork.Descriptor = field(compare=False)

    def interpreter_options(self) -> Sequence[str]:
        """Print Python's stack if the worker crashes."""
        return ["-X", "faulthandler"]


async def hello(scope: dict[str, Any], _receive: Any, send: Any) -> None:
    """The application."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello\n"})


def work(worker: Web) -> None:
    """Serve in a worker's process. uvicorn is imported here, so that the master stays small."""
    from prefork.adapters.uvicorn import serve_socket

    serve_socket(hello, socket.socket(fileno=worker.listener), ready=prefork.ready, lifespan="off")


def settings() -> prefork.PreforkSettings[Any]:
    """Read the command line and open the socket; only the master calls it."""
    parser = argparse.ArgumentParser(prog="prefork-sample-web", description="A preforked web server that says hello.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("-p", "--port", type=port, default=11111, help="port, 0 for any (default: %(default)s)")
    parser.add_argument("-w", "--workers", type=positive, default=4, help="worker processes (default: %(default)s)")
    options = parser.parse_args()
    if find_spec("uvicorn") is None:
        parser.exit(2, f"{parser.prog}: needs uvicorn, which is not installed: pip install 'prefork[samples]'\n")
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listener = socket.create_server((options.host, options.port), family=family, backlog=2048)
    except OSError as error:
        parser.exit(2, f"{parser.prog}: cannot listen on {options.host}:{options.port}: {error.strerror}\n")

    def greet(_config: object) -> None:
        host, bound = listener.getsockname()[:2]
        where = f"[{host}]" if ":" in host else host
        print(
            f"Serving http://{where}:{bound}/ with {options.workers} workers; the master is {os.getpid()}",
            flush=True,
        )

    def update(resource: prefork.PreforkResource[Web]) -> argparse.Namespace:
        descriptor = prefork.Descriptor(listener.fileno())
        prefork.update_worker_set(resource, [Web(i, descriptor) for i in range(options.workers)])
        return options

    def fork(worker: Web) -> int:
        return prefork.fork_worker_process(worker, [f"id={worker.id}"])

    relaunch = prefork.relaunch_settings(prefork.PreforkResource(), update, fork)
    return replace(relaunch, on_start=greet)


def positive(text: str) -> int:
    """Read a number of workers."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of workers; give 1 or more")
    return int(text)


def port(text: str) -> int:
    """Read a port."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give 0 to 65535")
    return int(text)


def main() -> None:
    """Run the daemon."""
    prefork.default_main(settings, work)


if __name__ == "__main__":
    main()
