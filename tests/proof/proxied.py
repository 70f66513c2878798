"""nginx and HAProxy in front of a daemon, with the configurations of docs/proxies.md, as any user may start them."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.secured import Authority
from adapters.served import Adapted
from proof.through import PROXY, Front, Proxy
from support import Running, Start, until
from system.daemons import free_port

DOCUMENT = Path(__file__).parents[2] / "docs" / "proxies.md"
UNPRIVILEGED: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}


@dataclass(frozen=True)
class Places:
    """Where a proxy listens, with and without TLS, its certificate with the key, and the daemon's own addresses."""

    secure: int
    plain: int
    certificate: Path
    port: int
    path: Path


@contextmanager
def open_start() -> Iterator[Start]:
    """Start programs in a directory that the proxy's user may enter."""
    with tempfile.TemporaryDirectory(prefix="test-of-prefork-") as directory:
        Path(directory).chmod(0o755)
        start = Start(Path(directory))
        try:
            yield start
        finally:
            start.close()


@contextmanager
def daemon(start: Start, server: tuple[str, str], **options: Any) -> Iterator[Adapted]:
    """Run two workers of one server on a port, and on a Unix socket to which any user may connect."""
    options = {"forwarded_allow_ips": [PROXY], "also": "unix://DIRECTORY/http.sock"} | options
    adapted = Adapted(start, server, workers=2, **options)
    adapted.ready("web/0", "web/1")
    (start.directory / "http.sock").chmod(0o666)
    yield adapted
    assert adapted.stop() == 0


@contextmanager
def front(
    server: tuple[str, str], started: Mapping[str, Callable[[Start, Places], Running]], **options: Any
) -> Iterator[Front]:
    """Run a daemon behind proxies; each has a name, and what starts it."""
    with open_start() as start, daemon(start, server, **options) as adapted:
        authority = Authority(start.directory / "authority")
        context = None if options.get("proxy_protocol") else authority.context()
        both = start.directory / "both.pem"
        both.write_bytes(b"".join(authority.issue()[:2]))
        proxies = {}
        for name, run in started.items():
            places = Places(free_port(), free_port(), both, adapted.port, start.directory / "http.sock")
            running = run(start, places)
            listening(running, places.plain)
            proxies[name] = Proxy(running, places.secure, places.plain, context)
        yield Front(adapted, proxies)
        for proxy in proxies.values():
            proxy.running.stop()


def documented(section: str, values: Mapping[str, str]) -> str:
    """Return a configuration of the document, with other values for some of its texts."""
    lines = re.match(r"(?:    .*\n|\n)+", DOCUMENT.read_text().partition(f"## {section}\n\n")[2])
    assert lines is not None
    configuration = lines[0]
    for text, value in values.items():
        assert text in configuration, text
        configuration = configuration.replace(text, value)
    return configuration


def program(name: str) -> str:
    """Return the path of a program; skip the test where it is not installed, before it has started a daemon."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin")
    return found or pytest.skip(f"{name} is not installed")


def nginx(start: Start, http_block: str) -> Running:
    """Start nginx with what is in its block `http`; it never asks a second time for a request that has failed."""
    directory = _folder(start)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in kinds)
    own = f"access_log off;\n{temporary}proxy_next_upstream off;\n"
    return _nginx(start, directory, f"http {{\n{own}{http_block}}}\n")


def stream_module() -> str:
    """Return the line that loads nginx's module `stream`, if it needs one; skip the test where it is missing."""
    built = subprocess.run([program("nginx"), "-V"], capture_output=True, text=True, check=True).stderr
    if "--with-stream " in f"{built} ":
        return ""
    path = re.search(r"--modules-path=(\S+)", built)
    module = Path(path[1] if path else "", "ngx_stream_module.so")
    return f"load_module {module};\n" if module.exists() else pytest.skip("this nginx has no module stream")


def nginx_stream(start: Start, stream_block: str) -> Running:
    """Start nginx with what is in its block `stream`."""
    return _nginx(start, _folder(start), f"stream {{\n{stream_block}}}\n", stream_module())


def _nginx(start: Start, directory: Path, block: str, load: str = "") -> Running:
    path, file = program("nginx"), directory / "nginx.conf"
    file.write_text(
        f"{load}daemon off;\npid {directory}/pid;\nworker_processes 1;\nerror_log stderr;\n"
        f"events {{ worker_connections 8000; }}\n{block}"
    )
    return start.command(path, "-e", "stderr", "-p", str(directory), "-c", str(file), **UNPRIVILEGED)


def haproxy(start: Start, configuration: str) -> Running:
    """Start HAProxy."""
    path, directory = program("haproxy"), _folder(start)
    (directory / "haproxy.cfg").write_text(f"global\n    maxconn 8000\n{configuration}")
    return start.command(path, "-db", "-f", str(directory / "haproxy.cfg"), **UNPRIVILEGED)


def _folder(start: Start) -> Path:
    made = Path(tempfile.mkdtemp(dir=start.directory))
    made.chmod(0o777)
    return made


def listening(running: Running, port: int) -> None:
    """Wait until a proxy has opened this port."""

    def open_now() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((PROXY, port)) == 0

    until(open_now, f"port {port} is open: {running.err}")
