"""hypercorn: every option of its command line and key of its file (0.18)."""

from __future__ import annotations

from . import convert, why
from .setting import Setting, Tool

_DEFAULT = "no equal: hypercorn's default holds"

SETTINGS = (
    Setting("-h --help", "", "`prefork run --help`"),
    Setting("accesslog --access-log --access-logfile FILE", "access_log", "- is standard output"),
    Setting(
        "access_log_format --access-logformat FORMAT", "access_log_format", "with gunicorn's fields, such as %(h)s"
    ),
    Setting("alpn_protocols", "", "no equal: h2 and http/1.1, as by default", convert.any_protocols),
    Setting("alt_svc_headers", "", why.HEADERS),
    Setting("application_path", "", "the target of the command line counts", convert.nothing),
    Setting("backlog --backlog BACKLOG", "backlog"),
    Setting("bind -b --bind ADDRESS", "bind", "", convert.bind),
    Setting("ca_certs --ca-certs FILE", "tls_ca"),
    Setting("certfile --certfile FILE", "tls_cert"),
    Setting(
        "verify_mode cert_reqs --cert-reqs --verify-mode MODE",
        "tls_client",
        "none, optional or required",
        convert.client_certificates,
    ),
    Setting("ciphers --ciphers CIPHERS", "tls_ciphers", "of TLS 1.2"),
    Setting("-c --config FILE", "config", "`prefork migrate` reads it: TOML, file: or python:"),
    Setting("daemon -D --daemon", "prefork systemd", why.BACKGROUND),
    Setting("debug --debug", "log_level", "debug: every event of a worker", convert.fixed("log_level", "debug")),
    Setting("dogstatsd_tags", "statsd_tags"),
    Setting("errorlog --error-log --error-logfile --log-file FILE", "log_file", why.TO_STDERR, convert.log_file),
    Setting("graceful_timeout --graceful-timeout SECONDS", "drain_timeout"),
    Setting("read_timeout --read-timeout SECONDS", "", "no equal: `keep_alive` limits idle connections"),
    Setting("max_requests --max-requests N", "max_requests"),
    Setting("max_requests_jitter --max-requests-jitter N", "max_requests_jitter"),
    Setting("group -g --group GROUP", "bind", "as in unix:/run/shop.sock?group=www-data", convert.part("group")),
    Setting("user -u --user USER", "bind", "as in unix:/run/shop.sock?owner=shop", convert.part("owner")),
    Setting("umask -m --umask UMASK", "bind", "as in unix:/run/shop.sock?mode=660", convert.socket_umask),
    Setting("h11_max_incomplete_size", "limit_request_headers"),
    Setting("h11_pass_raw_headers", "", _DEFAULT),
    Setting("h2_max_concurrent_streams", "", _DEFAULT),
    Setting("h2_max_header_list_size", "limit_request_headers", "for HTTP/1.1, too"),
    Setting("h2_max_inbound_frame_size", "", _DEFAULT),
    Setting("include_date_header", "", "always so; let the proxy remove it", convert.only("true")),
    Setting("include_server_header", "", "always so; let the proxy remove it", convert.only("true")),
    Setting("worker_class -k --worker-class CLASS", "loop", "asyncio or uvloop", convert.loop_class),
    Setting("keep_alive_timeout --keep-alive SECONDS", "keep_alive", note=why.IDLE),
    Setting("keep_alive_max_requests", "", _DEFAULT),
    Setting("keyfile --keyfile FILE", "tls_key"),
    Setting(
        "keyfile_password --keyfile-password PASSWORD",
        "tls_key_password_file",
        "write it to a file",
        convert.unless_off,
    ),
    Setting(
        "insecure_bind --insecure-bind ADDRESS",
        "",
        "no equal: all addresses of a daemon have TLS, or none; let the proxy redirect",
    ),
    Setting("logconfig --log-config FILE", "log_config", "", convert.log_config),
    Setting("logconfig_dict", "log_config", "write it to a file, as TOML or JSON", convert.unless_off),
    Setting("logger_class", "", "no equal: `log_config` configures logging"),
    Setting("loglevel --log-level LEVEL", "log_level", "info or debug", convert.log_level),
    Setting("max_app_queue_size", "", _DEFAULT),
    Setting("pid_path -p --pid FILE", "pid_file"),
    Setting("quic_bind --quic-bind ADDRESS", "", "no equal: HTTP/3 is for the proxy"),
    Setting("use_reloader --reload", "reload"),
    Setting("root_path --root-path PATH", "root_path"),
    Setting(
        "server_names --server-name NAME",
        "",
        "no equal: the proxy, or a middleware such as TrustedHostMiddleware, checks Host",
    ),
    Setting("shutdown_timeout", "", "the end of a lifespan has the time of `drain_timeout`", convert.nothing),
    Setting("ssl_handshake_timeout", "", "no equal: 15 s"),
    Setting("startup_timeout", "start_timeout"),
    Setting(
        "statsd_host --statsd-host ADDRESS",
        "statsd",
        note="the names begin with gunicorn; statuses by class (statsd.md)",
    ),
    Setting("statsd_prefix --statsd-prefix PREFIX", "statsd_prefix"),
    Setting("verify_flags", "", "no equal: OpenSSL's default holds"),
    Setting("websocket_max_message_size", "websocket_max_size"),
    Setting("websocket_ping_interval --websocket-ping-interval SECONDS", "websocket_ping_interval"),
    Setting("workers -w --workers N", "workers"),
    Setting("wsgi_max_body_size", "limit_request_body"),
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
