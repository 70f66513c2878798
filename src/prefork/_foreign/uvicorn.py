"""uvicorn: every option of its command line (0.54)."""

from __future__ import annotations

from . import conversions as convert
from .setting import Setting, Tool

_WATCHED = "no equal: it watches the Python files of `reload_dir`"

SETTINGS = (
    Setting("--host TEXT", "bind", "as in 127.0.0.1:8000", convert.part("host")),
    Setting("--port INTEGER", "bind", "as in 127.0.0.1:8000", convert.part("port")),
    Setting("--uds TEXT", "bind", "as in unix:/run/shop.sock", convert.part("uds")),
    Setting("--fd INTEGER", "bind", "as in fd://3", convert.part("fd")),
    Setting("--reload", "reload"),
    Setting("--reload-dir PATH", "reload_dir", "", convert.each("reload_dir")),
    Setting("--reload-include TEXT", "", _WATCHED),
    Setting("--reload-exclude TEXT", "", _WATCHED),
    Setting("--reload-delay FLOAT", "", "no equal: a change counts after 0.3 s without a further write"),
    Setting("--workers INTEGER", "workers"),
    Setting("--loop TEXT", "loop"),
    Setting("--http TEXT", "", "no equal: httptools where it is installed", convert.only("auto", "httptools")),
    Setting("--http2", "server", "granian and hypercorn serve HTTP/2", convert.unless_off),
    Setting(
        "--ws TEXT",
        "",
        "no equal: websockets where it is installed",
        convert.only("auto", "websockets", "websockets-sansio"),
    ),
    Setting("--ws-max-size INTEGER", "", "no equal yet"),
    Setting("--ws-max-queue INTEGER", "", "no equal: the server's default holds"),
    Setting("--ws-ping-interval FLOAT", "", "no equal yet"),
    Setting("--ws-ping-timeout FLOAT", "", "no equal yet"),
    Setting("--ws-per-message-deflate BOOLEAN", "", "no equal: the server's default holds"),
    Setting("--lifespan TEXT", "lifespan"),
    Setting("--interface TEXT", "interface", "asgi or wsgi", convert.interface),
    Setting("--env-file PATH", "", "no equal yet: set variables in the shell, or in the unit of the service manager"),
    Setting("--log-config PATH", "", "no equal yet"),
    Setting("--log-level TEXT", "log_level", "info or debug", convert.log_level),
    Setting("--access-log", "access_log", "standard output", convert.fixed("access_log", "-")),
    Setting("--no-access-log", "access_log", "off unless it is given", convert.nothing),
    Setting("--use-colors", "", "no equal: colours on a terminal; NO_COLOR turns them off", convert.nothing),
    Setting("--no-use-colors", "", "no equal: set NO_COLOR=1"),
    Setting("--proxy-headers", "forwarded_allow_ips", "always so, from the proxies that it names", convert.nothing),
    Setting("--no-proxy-headers", "", "no equal: `forwarded_allow_ips` names the proxies that are trusted"),
    Setting("--server-header", "", "no equal: the server's default holds"),
    Setting("--no-server-header", "", "no equal: let the proxy remove it"),
    Setting("--date-header", "", "always so", convert.nothing),
    Setting("--no-date-header", "", "no equal: let the proxy remove it"),
    Setting("--forwarded-allow-ips TEXT", "forwarded_allow_ips", "", convert.each("forwarded_allow_ips")),
    Setting("--root-path TEXT", "root_path"),
    Setting("--limit-concurrency INTEGER", "", "no equal yet"),
    Setting("--backlog INTEGER", "backlog"),
    Setting("--limit-max-requests INTEGER", "max_requests"),
    Setting("--limit-max-requests-jitter INTEGER", "max_requests_jitter"),
    Setting("--timeout-keep-alive INTEGER", "keep_alive"),
    Setting("--timeout-graceful-shutdown INTEGER", "drain_timeout"),
    Setting(
        "--timeout-worker-healthcheck INTEGER",
        "hang_timeout",
        note="it ends a worker that makes no progress, not one that is slow",
    ),
    Setting("--ssl-keyfile TEXT", "", "no equal yet: let a proxy such as nginx or Caddy end TLS"),
    Setting("--ssl-certfile TEXT", "", "no equal yet: let a proxy such as nginx or Caddy end TLS"),
    Setting("--ssl-keyfile-password TEXT", "", "no equal yet: let a proxy such as nginx or Caddy end TLS"),
    Setting("--ssl-version INTEGER", "", "no equal yet: let a proxy such as nginx or Caddy end TLS"),
    Setting("--ssl-cert-reqs INTEGER", "", "no equal yet: let a proxy such as nginx or Caddy end TLS"),
    Setting("--ssl-ca-certs TEXT", "", "no equal yet: let a proxy such as nginx or Caddy end TLS"),
    Setting("--ssl-ciphers TEXT", "", "no equal yet: let a proxy such as nginx or Caddy end TLS"),
    Setting("--header TEXT", "", "no equal: a middleware of the application, or the proxy, adds headers"),
    Setting("--version", "", "`prefork --version`"),
    Setting("--app-dir TEXT", "", "no equal yet"),
    Setting("--h11-max-incomplete-event-size INTEGER", "", "no equal yet"),
    Setting("--reset-contextvars", "", "no equal: a request sees the context of the lifespan"),
    Setting(
        "--factory", "", "a factory is recognised and called: name it as the target, shop:create_app", convert.nothing
    ),
    Setting("--help", "", "`prefork run --help`"),
)

UVICORN = Tool(
    "uvicorn",
    SETTINGS,
    (
        "uvicorn itself serves, in workers that a master supervises: its protocols, its loop, its WebSockets.",
        "Without `workers` there is one for each processor, not one.",
        "`--reload` goes with any number of workers; code that cannot be imported leaves the last good one in service.",
        "A worker that dies is replaced in milliseconds; one that hangs is explained in the log, then replaced.",
        "The application is imported once for all workers; what a fork does not carry over is named at the start.",
    ),
    {"server": "uvicorn", "workers": 1},
)
