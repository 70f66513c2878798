"""TLS of a server under prefork, beside the same server by itself: two workers each, one certificate (P-256).

    python bench/tls.py [--rounds N] [uvicorn] [hypercorn] [granian]

Both run all the time; a client asks them in turn, first one then the other, then the other way round. `handshakes`: a
request on a connection of its own, a full handshake. `requests`: on connections that are kept. The result is the ratio,
prefork over the other, of each round: of the rate, and of the processor time of all processes of a side for one. The
latter is the steadier figure on a machine with other load; below 1.00 is less.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from peers import APPLICATION, Server

WORKERS, CLIENTS = 2, 2
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
PREFORK = Path(sys.executable).with_name("prefork")
OWN: dict[str, Callable[[int], list[str]]] = {
    "uvicorn": lambda port: f"--workers 2 --port {port} --ssl-certfile crt --ssl-keyfile key --no-access-log".split(),
    "hypercorn": lambda port: f"-w 2 -b 127.0.0.1:{port} --certfile crt --keyfile key".split(),
    "granian": lambda port: (
        f"--interface asgi --workers 2 --port {port} --ssl-certificate crt --ssl-keyfile key --no-log".split()
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a slice")
    parser.add_argument("servers", nargs="*", default=list(OWN))
    chosen = parser.parse_args()
    print("| server | what | per second, prefork / itself | ratio | processor µs each | ratio |")
    print("|---|---|---|---|---|---|")
    for server in chosen.servers:
        with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
            prepare(Path(directory))
            sides = [stack.enter_context(running(Path(directory), server, ours)) for ours in (True, False)]
            for what, kept in ("handshakes", False), ("requests", True):
                compare(server, what, sides, (kept, chosen.seconds, chosen.rounds))


def prepare(directory: Path) -> None:
    (directory / "application.py").write_text(APPLICATION)
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run([*command.split(), "-keyout", "key", "-out", "crt"], cwd=directory, check=True, capture_output=True)


@contextmanager
def running(directory: Path, server: str, ours: bool) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", server, "application:app", *OWN[server](port)]
    if ours:
        options = f"-w 2 -b 127.0.0.1:{port} --tls-cert crt --tls-key key --server {server}"
        command = [str(PREFORK), "run", "application:app", *options.split()]
    environment = {**os.environ, "RUNTIME_DIRECTORY": str(directory / "runtime")}
    process = subprocess.Popen(
        command, cwd=directory, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=-3
    )
    try:
        side = Server("prefork" if ours else server, process.pid, port, directory)
        until_ready(port)
        yield side
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def until_ready(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            ask(port, False, 0.5, None)
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nothing serves at {port}")


def ask(port: int, kept: bool, seconds: float, answers: multiprocessing.Queue[int] | None) -> None:
    """Be one client for a time, and report how many answers it got."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 30)) as client:
            while answered(client):
                count += 1
                if not kept or time.monotonic() > end:
                    break
    if answers is not None:
        answers.put(count)


def answered(client: ssl.SSLSocket) -> bool:
    """Ask once; return whether an answer came. A server may end a kept connection: hypercorn does after 1,000."""
    answer = b""
    try:
        client.sendall(REQUEST)
        while not answer.rpartition(b"\r\n\r\n")[2]:
            piece = client.recv(4096)
            if not piece:
                return False
            answer += piece
    except (ConnectionError, ssl.SSLError):
        return False
    return True


def one(side: Server, kept: bool, seconds: float) -> tuple[float, float]:
    """Return how many answers a second a side gave, and the microseconds of processor time of each."""
    answers: multiprocessing.Queue[int] = multiprocessing.Queue()
    clients = [multiprocessing.Process(target=ask, args=(side.port, kept, seconds, answers)) for _ in range(CLIENTS)]
    before, begun = side.cpu(), time.monotonic()
    for client in clients:
        client.start()
    count = sum(answers.get() for _ in clients)
    for client in clients:
        client.join()
    return count / (time.monotonic() - begun), 1e6 * (side.cpu() - before) / count


def compare(server: str, what: str, sides: list[Server], how: tuple[bool, float, int]) -> None:
    kept, seconds, rounds = how
    found: dict[str, list[tuple[float, float]]] = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            found[side.name].append(one(side, kept, seconds))
    cells = []
    for figure in 0, 1:
        ours, theirs = ([each[figure] for each in found[side.name]] for side in sides)
        ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        cells.append(f"{median(ours):,.0f} / {median(theirs):,.0f}")
        cells.append(f"**{median(ratios):.2f}** ({min(ratios):.2f}-{max(ratios):.2f})")
    print(f"| {server} | {what} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
