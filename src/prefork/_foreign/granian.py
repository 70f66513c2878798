"""granian: every option of its command line (2.8)."""

from __future__ import annotations

from . import convert, why
from .setting import Setting, Tool

_RUNTIME = "no equal: a worker has one thread of granian's runtime for its connections"
_HTTP2 = "no equal: granian's default holds"
_HTTP1 = "no equal: granian's default holds"

SETTINGS = (
    Setting("--host TEXT", "bind", "as in 127.0.0.1:8000", convert.part("host")),
    Setting("--port INTEGER", "bind", "as in 127.0.0.1:8000", convert.part("port")),
    Setting("--uds PATH", "bind", "as in unix:/run/shop.sock", convert.part("uds")),
    Setting("--uds-permissions OCTAL", "bind", "as in unix:/run/shop.sock?mode=660", convert.part("mode")),
    Setting("--interface TEXT", "interface", "asgi or wsgi; RSGI has no equal", convert.interface),
    Setting("--http VERSION", "", "HTTP/1 and HTTP/2, as with auto", convert.only("auto")),
    Setting("--ws", "", "always so", convert.nothing),
    Setting("--no-ws", "", "no equal: the application refuses WebSockets by itself"),
    Setting("--workers INTEGER", "workers"),
    Setting("--blocking-threads INTEGER", "threads", "of a WSGI application"),
    Setting("--blocking-threads-idle-timeout DURATION", "", "no equal: threads stay"),
    Setting("--runtime-threads INTEGER", "", _RUNTIME, convert.only("1")),
    Setting("--runtime-blocking-threads INTEGER", "", _RUNTIME),
    Setting("--runtime-mode TEXT", "", _RUNTIME, convert.only("auto", "st")),
    Setting("--loop TEXT", "loop"),
    Setting("--task-impl TEXT", "", "no equal: tasks are asyncio's", convert.only("asyncio")),
    Setting("--backlog INTEGER", "backlog"),
    Setting("--backpressure INTEGER", "", "no equal: `limit_concurrency`, for ASGI, answers what is above it with 503"),
    Setting("--http1-buffer-size INTEGER", "", _HTTP1),
    Setting("--http1-header-read-timeout INTEGER", "", _HTTP1),
    Setting("--http1-keep-alive", "", "always so", convert.nothing),
    Setting("--no-http1-keep-alive", "keep_alive", "a second at least", convert.unless_off),
    Setting("--http1-pipeline-flush", "", _HTTP1),
    Setting("--no-http1-pipeline-flush", "", "always so", convert.nothing),
    Setting("--http2-adaptive-window", "", _HTTP2),
    Setting("--no-http2-adaptive-window", "", "always so", convert.nothing),
    Setting("--http2-initial-connection-window-size INTEGER", "", _HTTP2),
    Setting("--http2-initial-stream-window-size INTEGER", "", _HTTP2),
    Setting("--http2-keep-alive-interval INTEGER", "", _HTTP2),
    Setting("--http2-keep-alive-timeout DURATION", "", _HTTP2),
    Setting("--http2-max-concurrent-streams INTEGER", "", _HTTP2),
    Setting("--http2-max-frame-size INTEGER", "", _HTTP2),
    Setting("--http2-max-headers-size INTEGER", "", _HTTP2),
    Setting("--http2-max-send-buffer-size INTEGER", "", _HTTP2),
    Setting("--log", "", "always so", convert.nothing),
    Setting("--no-log", "", "no equal: StandardError=null in the unit"),
    Setting("--log-level TEXT", "log_level", "info or debug", convert.log_level),
    Setting("--log-config FILE", "log_config", "", convert.log_config),
    Setting("--access-log", "access_log", "standard output", convert.fixed("access_log", "-")),
    Setting("--no-access-log", "access_log", "off unless it is given", convert.nothing),
    Setting("--access-log-fmt TEXT", "", "no equal: `access_log_format` has gunicorn's fields, such as %(h)s"),
    Setting("--ssl-certificate FILE", "tls_cert"),
    Setting("--ssl-keyfile FILE", "tls_key"),
    Setting(
        "--ssl-keyfile-password TEXT",
        "",
        "no equal: granian takes no encrypted key",
    ),
    Setting("--ssl-protocol-min TEXT", "tls_min_version", "", convert.protocol),
    Setting("--ssl-ca FILE", "tls_ca"),
    Setting("--ssl-crl FILE", "", "no equal: short-lived client certificates need none"),
    Setting("--ssl-client-verify", "tls_client", "required", convert.fixed("tls_client", "required")),
    Setting("--no-ssl-client-verify", "", "the default", convert.nothing),
    Setting("--url-path-prefix TEXT", "root_path"),
    Setting("--respawn-failed-workers", "", "always so", convert.nothing),
    Setting("--no-respawn-failed-workers", "", "no equal: a worker that dies is always replaced"),
    Setting(
        "--respawn-interval FLOAT", "", "not needed: a successor is ready before the old worker drains", convert.nothing
    ),
    Setting(
        "--rss-sample-interval DURATION", "", "no equal: memory is compared after a request, once a second at most"
    ),
    Setting("--rss-samples INTEGER", "", "no equal: memory is compared after a request, once a second at most"),
    Setting("--workers-lifetime DURATION", "max_age", "", convert.to("max_age", convert.duration)),
    Setting(
        "--workers-max-rss INTEGER", "max_memory", "", convert.to("max_memory", convert.megabytes), note=why.PRIVATE
    ),
    Setting("--workers-kill-timeout DURATION", "drain_timeout", "", convert.to("drain_timeout", convert.duration)),
    Setting("--factory", "", why.FACTORY, convert.nothing),
    Setting("--no-factory", "", "a target that needs no arguments is called", convert.nothing),
    Setting("--working-dir DIRECTORY", "chdir"),
    Setting("--env-files FILE", "env_file"),
    Setting("--static-path-route TEXT", "", why.STATIC),
    Setting("--static-path-mount DIRECTORY", "", why.STATIC),
    Setting("--static-path-dir-to-file TEXT", "", why.STATIC),
    Setting("--static-path-expires DURATION", "", why.STATIC),
    Setting("--metrics", "metrics", "", convert.fixed("metrics", "127.0.0.1:9090"), note="the figures are prefork's"),
    Setting("--no-metrics", "", "always so", convert.nothing),
    Setting("--metrics-scrape-interval DURATION", "", why.FIGURES),
    Setting("--metrics-address TEXT", "", why.METRICS),
    Setting("--metrics-port INTEGER", "", why.METRICS),
    Setting("--reload", "reload"),
    Setting("--no-reload", "", "the default", convert.nothing),
    Setting("--reload-paths PATH", "reload_dir", "", convert.each("reload_dir")),
    Setting("--reload-ignore-dirs TEXT", "", why.WATCHED),
    Setting("--reload-ignore-patterns TEXT", "", why.WATCHED),
    Setting("--reload-ignore-paths PATH", "", why.WATCHED),
    Setting("--reload-tick INTEGER", "", "no equal: a change counts after 0.3 s without a further write"),
    Setting("--reload-ignore-worker-failure", "", "always so: the last good code goes on serving", convert.nothing),
    Setting("--no-reload-ignore-worker-failure", "", "no equal: the last good code goes on serving"),
    Setting("--process-name TEXT", "name"),
    Setting("--pid-file FILE", "pid_file"),
    Setting("--version", "", "`prefork --version`"),
    Setting("--help", "", "`prefork run --help`"),
)

GRANIAN = Tool(
    "granian",
    SETTINGS,
    (
        "granian's own workers serve ASGI and WSGI; RSGI, granian's default, has no equal.",
        "Without `workers` there is one for each processor, not one.",
        "A worker that dies is always replaced, as with `--respawn-failed-workers`.",
        "A reload replaces workers when their successors are ready, not after an interval.",
        "A worker that hangs is explained in the log, then replaced; granian does not notice it.",
    ),
    {"server": "granian", "workers": 1, "tls_min_version": "1.3"},
    implied=("--interface", "rsgi"),
)
