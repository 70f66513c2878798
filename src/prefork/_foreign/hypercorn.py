"""hypercorn: every option of its command line (0.18)."""

from __future__ import annotations

from . import convert, why
from .setting import Setting, Tool

SETTINGS = (
    Setting("-h --help", "", "`prefork run --help`"),
    Setting("--access-log --access-logfile FILE", "access_log", "- is standard output"),
    Setting("--access-logformat FORMAT", "access_log_format", "with gunicorn's fields, such as %(h)s"),
    Setting("--backlog BACKLOG", "backlog"),
    Setting("-b --bind ADDRESS", "bind", "", convert.bind),
    Setting("--ca-certs FILE", "tls_ca"),
    Setting("--certfile FILE", "tls_cert"),
    Setting("--cert-reqs --verify-mode MODE", "tls_client", "none, optional or required", convert.client_certificates),
    Setting("--ciphers CIPHERS", "tls_ciphers", "of TLS 1.2"),
    Setting(
        "-c --config FILE",
        "config",
        "of our own options: give those of hypercorn's file on its command line",
        convert.unless_off,
    ),
    Setting("-D --daemon", "prefork systemd", why.BACKGROUND),
    Setting("--debug", "log_level", "debug: every event of a worker", convert.fixed("log_level", "debug")),
    Setting("--error-log --error-logfile --log-file FILE", "log_file", why.TO_STDERR, convert.log_file),
    Setting("--graceful-timeout SECONDS", "drain_timeout"),
    Setting("--read-timeout SECONDS", "", "no equal: `keep_alive` limits idle connections"),
    Setting("--max-requests N", "max_requests"),
    Setting("--max-requests-jitter N", "max_requests_jitter"),
    Setting("-g --group GROUP", "bind", "as in unix:/run/shop.sock?group=www-data", convert.part("group")),
    Setting("-u --user USER", "bind", "as in unix:/run/shop.sock?owner=shop", convert.part("owner")),
    Setting("-m --umask UMASK", "bind", "as in unix:/run/shop.sock?mode=660", convert.socket_umask),
    Setting("-k --worker-class CLASS", "loop", "asyncio or uvloop", convert.loop_class),
    Setting("--keep-alive SECONDS", "keep_alive", note=why.IDLE),
    Setting("--keyfile FILE", "tls_key"),
    Setting("--keyfile-password PASSWORD", "tls_key_password_file", "write it to a file", convert.unless_off),
    Setting(
        "--insecure-bind ADDRESS", "", "no equal: all addresses of a daemon have TLS, or none; let the proxy redirect"
    ),
    Setting("--log-config FILE", "log_config", "", convert.log_config),
    Setting("--log-level LEVEL", "log_level", "info or debug", convert.log_level),
    Setting("-p --pid FILE", "pid_file"),
    Setting("--quic-bind ADDRESS", "", "no equal: HTTP/3 is for the proxy"),
    Setting("--reload", "reload"),
    Setting("--root-path PATH", "root_path"),
    Setting(
        "--server-name NAME", "", "no equal: the proxy, or a middleware such as TrustedHostMiddleware, checks Host"
    ),
    Setting("--statsd-host ADDRESS", "statsd", note="the names begin with gunicorn; statuses by class (statsd.md)"),
    Setting("--statsd-prefix PREFIX", "statsd_prefix"),
    Setting("--websocket-ping-interval SECONDS", "websocket_ping_interval"),
    Setting("-w --workers N", "workers"),
)

HYPERCORN = Tool(
    "hypercorn",
    SETTINGS,
    (
        "hypercorn itself serves, in workers that a master supervises, with HTTP/2 but without HTTP/3.",
        "Without `workers` there is one for each processor, not one.",
        "A reload replaces workers when their successors are ready; broken code changes nothing.",
        "Trio applications need hypercorn itself: the loop is asyncio or uvloop.",
        "A WSGI application is served by waitress or granian, not through hypercorn.",
    ),
    {"server": "hypercorn", "workers": 1},
)
