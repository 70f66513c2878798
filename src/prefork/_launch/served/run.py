"""`prefork.run()`: what `prefork run` does, from a program."""

from __future__ import annotations

import os
from time import monotonic
from typing import Literal, NoReturn, Unpack

from ..._errors import MisplacedError, PreforkError, UsageError, exit_with
from ..._hooks import role
from ..._linux import place
from ..._options.records import HangPolicy
from ..._options.table import resolve
from ..keywords import DaemonKeywords
from .launch import start
from .options import checked
from .surroundings import entered

_CALL = "prefork.run()"


class RunKeywords(DaemonKeywords, total=False):
    """The types of the options of `prefork run`, for type checkers; what each is stands in docs/run.md."""

    config: str
    name: str
    workers: int | Literal["auto"]
    bind: str | list[str]
    server: str
    interface: Literal["auto", "asgi", "wsgi"]
    threads: int
    lifespan: Literal["auto", "on", "off"]
    loop: Literal["auto", "asyncio", "uvloop"]
    preload: bool
    warm: str | list[str]
    root_path: str
    forwarded_allow_ips: str | list[str]
    proxy_protocol: bool
    keep_alive: float | str
    backlog: int
    access_log: str
    access_log_format: str
    limit_request_line: int | str
    limit_request_headers: int | str
    limit_request_body: int | str
    limit_concurrency: int
    websocket_max_size: int | str
    websocket_ping_interval: float | str
    websocket_ping_timeout: float | str
    keepalive_window: float
    tls_cert: str
    tls_key: str
    tls_key_password_file: str
    tls_ca: str
    tls_client: Literal["none", "optional", "required"]
    tls_min_version: Literal["1.2", "1.3"]
    tls_ciphers: str
    start_timeout: float
    drain_timeout: float
    hang_timeout: float
    hang_policy: HangPolicy
    max_requests: int
    max_requests_jitter: int
    max_age: float
    max_memory: int | str
    user: str
    group: str
    new_privileges: bool
    reload: bool
    reload_dir: str | list[str]
    metrics: str
    dashboard: bool
    dashboard_steer: bool
    otlp: str
    statsd: str
    statsd_prefix: str
    statsd_tags: str
    env: str | list[str]
    env_file: str
    chdir: str
    python_path: str | list[str]
    log_config: str
    umask: int | str


def run(target: str, **options: Unpack[RunKeywords]) -> NoReturn:
    """Run an application: become the master of its daemon, in this very process. Never returns.

        if __name__ == "__main__":
            prefork.run("shop:app", workers=4, bind="127.0.0.1:8000")

    `target` and `options` are those of `prefork run` (docs/run.md): the current directory's `prefork.toml` and the
    variables hold, too, and what is given here wins. Workers import the target by its name; so the call needs the
    guard if it stands in that module. Raises SystemExit with a message for wrong usage, and MisplacedError inside
    another daemon.
    """
    begun = monotonic()
    try:
        if role.belongs_to_master():
            raise UsageError(place.inside(_CALL))
        role.take(_CALL)
        given = checked(_CALL, {"target": target, **options})
        settings = resolve(given, os.environ, entered(given))
        if settings["user"] is not None:
            raise UsageError(
                f"{settings.source('user')}: the program has run as root up to here: start it by `prefork run`, "
                "which becomes that user before it imports anything"
            )
        start(given, settings, begun)
    except MisplacedError:
        raise
    except PreforkError as error:
        exit_with(error)
