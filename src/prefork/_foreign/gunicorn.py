"""gunicorn: every setting of its `config.py` (27.0)."""

from __future__ import annotations

from . import conversions as convert
from .setting import Setting, Tool

_PARSER = "the server's own parser decides: it follows RFC 9112 and has no such switch"
_HTTP2 = "HTTP/2 is the server's: granian and hypercorn have it, with their own defaults"
_STATSD = "no equal: `prefork status --json` and the scoreboard (docs/scoreboard.md) have the figures"
_DIRTY = "no equal: a pool of other workers is a kind of its own in a `Daemon` (examples/)"
_HOOK = "no hook in the master, which runs no code of the application"
_SYSLOG = "no equal: standard error goes to the journal under systemd; `--log-format json` is for programs"

SETTINGS = (
    Setting("config -c --config FILE", "config", "a TOML file: `prefork migrate` has read this one", convert.nothing),
    Setting("wsgi_app", "target"),
    Setting("bind -b --bind ADDRESS", "bind", "", convert.bind),
    Setting("backlog --backlog INT", "backlog"),
    Setting("workers -w --workers INT", "workers"),
    Setting(
        "worker_class -k --worker-class STRING",
        "server",
        "uvicorn, granian, hypercorn or waitress",
        convert.worker_class,
    ),
    Setting("threads --threads INT", "threads"),
    Setting("worker_connections --worker-connections INT", "", "no equal yet"),
    Setting("max_requests --max-requests INT", "max_requests"),
    Setting("max_requests_jitter --max-requests-jitter INT", "max_requests_jitter"),
    Setting(
        "timeout -t --timeout INT", "hang_timeout", note="it ends a worker that makes no progress, not one that is slow"
    ),
    Setting("graceful_timeout --graceful-timeout INT", "drain_timeout"),
    Setting("keepalive --keep-alive INT", "keep_alive"),
    Setting("limit_request_line --limit-request-line INT", "", "no equal yet"),
    Setting("limit_request_fields --limit-request-fields INT", "", "no equal yet"),
    Setting("limit_request_field_size --limit-request-field_size INT", "", "no equal yet"),
    Setting("reload --reload", "reload", "", convert.flag("reload")),
    Setting(
        "reload_engine --reload-engine STRING", "", "no equal: it always uses inotify", convert.only("auto", "inotify")
    ),
    Setting(
        "reload_extra_files --reload-extra-file FILES", "", "no equal: it watches the Python files of `reload_dir`"
    ),
    Setting("spew --spew", "", "no equal: `prefork stacks` prints where each worker is"),
    Setting("check_config --check-config", "prefork check", "it imports the application and prints the plan"),
    Setting("print_config --print-config", "prefork check", "with --show it prints every option"),
    Setting(
        "preload_app --preload",
        "preload",
        "it is the default, and a reload still imports the new code",
        convert.nothing,
    ),
    Setting("sendfile --no-sendfile", "", "no equal: the server decides"),
    Setting("reuse_port --reuse-port", "", "no equal: each server has what is right for it (docs/listeners.md)"),
    Setting("chdir --chdir DIR", "", "no equal yet: start it there"),
    Setting("daemon -D --daemon", "prefork systemd", "a service manager runs it in the background"),
    Setting(
        "raw_env -e --env ENV", "", "no equal yet: set variables in the shell, or in the unit of the service manager"
    ),
    Setting("pidfile -p --pid FILE", "", "no equal yet: `prefork list` has the pid"),
    Setting("worker_tmp_dir --worker-tmp-dir DIR", "", "not needed: heartbeats are in shared memory, not in files"),
    Setting(
        "user -u --user USER",
        "user",
        "",
        convert.to("user", str),
        note="the master stays root, and imports nothing of the application",
    ),
    Setting("group -g --group GROUP", "group", "", convert.to("group", str)),
    Setting("umask -m --umask INT", "", "no equal yet: UMask= of the unit"),
    Setting("initgroups --initgroups", "user", "always so: a user has all its groups", convert.nothing),
    Setting("tmp_upload_dir DIR", "", "set TMPDIR for the application"),
    Setting("secure_scheme_headers", "", "no equal: X-Forwarded-Proto and Forwarded are the only ones"),
    Setting(
        "forwarded_allow_ips --forwarded-allow-ips STRING",
        "forwarded_allow_ips",
        "",
        convert.each("forwarded_allow_ips"),
    ),
    Setting("accesslog --access-logfile FILE", "access_log", "- is standard output", convert.access_log),
    Setting(
        "disable_redirect_access_to_syslog --disable-redirect-access-to-syslog",
        "",
        "not needed: nothing goes to syslog",
        convert.nothing,
    ),
    Setting("access_log_format --access-logformat STRING", "access_log_format", "the same fields, but {NAME}e"),
    Setting(
        "errorlog --error-logfile --log-file FILE",
        "log_file",
        "by default the log goes to standard error",
        convert.log_file,
    ),
    Setting("loglevel --log-level LEVEL", "log_level", "info or debug", convert.log_level),
    Setting("capture_output --capture-output", "capture", "", convert.flag("capture")),
    Setting(
        "logger_class --logger-class STRING",
        "",
        "no equal: the master has no logging; the application configures its own",
    ),
    Setting("logconfig --log-config FILE", "", "no equal yet"),
    Setting("logconfig_dict", "", "no equal yet"),
    Setting("logconfig_json --log-config-json FILE", "", "no equal yet"),
    Setting("syslog_addr --log-syslog-to SYSLOG_ADDR", "", _SYSLOG),
    Setting("syslog --log-syslog", "log_file", _SYSLOG, convert.unless_off),
    Setting("syslog_prefix --log-syslog-prefix SYSLOG_PREFIX", "", _SYSLOG),
    Setting("syslog_facility --log-syslog-facility SYSLOG_FACILITY", "", _SYSLOG),
    Setting(
        "enable_stdio_inheritance -R --enable-stdio-inheritance",
        "",
        "always so: workers have the streams of the master",
        convert.nothing,
    ),
    Setting("statsd_host --statsd-host STATSD_ADDR", "", _STATSD),
    Setting("dogstatsd_tags --dogstatsd-tags DOGSTATSD_TAGS", "", _STATSD),
    Setting("statsd_prefix --statsd-prefix STATSD_PREFIX", "", _STATSD),
    Setting("enable_backlog_metric --enable-backlog-metric", "", _STATSD),
    Setting("proc_name -n --name STRING", "name", "", convert.to("name", str)),
    Setting("default_proc_name", "name", "", convert.to("name", str)),
    Setting("pythonpath --pythonpath STRING", "", "no equal yet"),
    Setting(
        "paste --paste --paster STRING", "", "no equal: write a module that calls `loadapp`, and name it as the target"
    ),
    Setting("on_starting", "", _HOOK),
    Setting("on_reload", "", "`prefork.on_reload(function)` in the application"),
    Setting("when_ready", "", f"{_HOOK}: `prefork events` and Type=notify say when it is ready"),
    Setting("pre_fork", "", _HOOK),
    Setting("post_fork", "", "`prefork.on_worker_start(function)` in the application"),
    Setting("post_worker_init", "", "`prefork.on_worker_start(function)` in the application"),
    Setting(
        "worker_int",
        "",
        "no equal: a worker drains at a signal; use the lifespan of ASGI, or `prefork.on_worker_stop(function)`",
    ),
    Setting("worker_abort", "", "not needed: the stacks of a hung worker are in the log before it ends"),
    Setting("pre_exec", "", "no equal: the master is never executed again"),
    Setting("pre_request", "", "a middleware of the application"),
    Setting("post_request", "", "a middleware of the application"),
    Setting("child_exit", "", f"{_HOOK}: `prefork events --json` has each end with its reason"),
    Setting("worker_exit", "", "`prefork.on_worker_stop(function)` in the application"),
    Setting("nworkers_changed", "", f"{_HOOK}: `prefork events --json` has each scale"),
    Setting("on_exit", "", f"{_HOOK}: ExecStopPost= of the unit"),
    Setting("ssl_context", "", "no equal: the context is made of the options of TLS"),
    Setting("proxy_protocol --proxy-protocol MODE", "", "no equal yet"),
    Setting(
        "proxy_allow_ips --proxy-allow-from IPS",
        "forwarded_allow_ips",
        "",
        convert.each("forwarded_allow_ips"),
        note="one list for headers and for the PROXY protocol",
    ),
    Setting("protocol --protocol STRING", "", "no equal: HTTP only", convert.only("http")),
    Setting(
        "uwsgi_allow_ips --uwsgi-allow-from IPS",
        "",
        "no equal: HTTP only: in nginx, `proxy_pass` instead of `uwsgi_pass`",
    ),
    Setting("keyfile --keyfile FILE", "", "no equal yet: let a proxy such as nginx or Caddy end TLS"),
    Setting("certfile --certfile FILE", "", "no equal yet: let a proxy such as nginx or Caddy end TLS"),
    Setting("ssl_version --ssl-version VERSION", "", "no equal yet: let a proxy such as nginx or Caddy end TLS"),
    Setting("cert_reqs --cert-reqs MODE", "", "no equal yet: let a proxy such as nginx or Caddy end TLS"),
    Setting("ca_certs --ca-certs FILE", "", "no equal yet: let a proxy such as nginx or Caddy end TLS"),
    Setting("suppress_ragged_eofs --suppress-ragged-eofs", "", "no equal: the server decides"),
    Setting("do_handshake_on_connect --do-handshake-on-connect", "", "no equal: the handshake never blocks a worker"),
    Setting("ciphers --ciphers CIPHERS", "", "no equal yet: let a proxy such as nginx or Caddy end TLS"),
    Setting("http_protocols --http-protocols STRING", "", _HTTP2, convert.only("h1")),
    Setting("http2_cleartext --http2-cleartext STRING", "", _HTTP2, convert.only("off")),
    Setting("http2_max_concurrent_streams --http2-max-concurrent-streams INT", "", _HTTP2),
    Setting("http2_initial_window_size --http2-initial-window-size INT", "", _HTTP2),
    Setting("http2_max_frame_size --http2-max-frame-size INT", "", _HTTP2),
    Setting("http2_max_header_list_size --http2-max-header-list-size INT", "", _HTTP2),
    Setting(
        "raw_paste_global_conf --paste-global CONF",
        "",
        "no equal: write a module that calls `loadapp`, and name it as the target",
    ),
    Setting("permit_obsolete_folding --permit-obsolete-folding", "", _PARSER),
    Setting("strip_header_spaces --strip-header-spaces", "", _PARSER),
    Setting("permit_unconventional_http_method --permit-unconventional-http-method", "", _PARSER),
    Setting("permit_unconventional_http_version --permit-unconventional-http-version", "", _PARSER),
    Setting("casefold_http_method --casefold-http-method", "", _PARSER),
    Setting("forwarder_headers --forwarder-headers HEADERS", "", "no equal: `root_path` sets SCRIPT_NAME"),
    Setting(
        "header_map --header-map MODE", "", "no equal: a header with an underscore never becomes a variable of WSGI"
    ),
    Setting("asgi_loop --asgi-loop STRING", "loop"),
    Setting("asgi_lifespan --asgi-lifespan STRING", "lifespan"),
    Setting(
        "asgi_disconnect_grace_period --asgi-disconnect-grace-period INT",
        "",
        "no equal: an application hears of a disconnect at once",
    ),
    Setting("http_parser --http-parser STRING", "", "no equal: the server decides", convert.only("auto")),
    Setting("root_path --root-path STRING", "root_path"),
    Setting("dirty_apps --dirty-app STRING", "", _DIRTY),
    Setting("dirty_workers --dirty-workers INT", "", _DIRTY),
    Setting("dirty_timeout --dirty-timeout INT", "", _DIRTY),
    Setting("dirty_threads --dirty-threads INT", "", _DIRTY),
    Setting("dirty_graceful_timeout --dirty-graceful-timeout INT", "", _DIRTY),
    Setting("on_dirty_starting", "", _DIRTY),
    Setting("dirty_post_fork", "", _DIRTY),
    Setting("dirty_worker_init", "", _DIRTY),
    Setting("dirty_worker_exit", "", _DIRTY),
    Setting(
        "control_socket --control-socket PATH",
        "",
        "the socket is in the runtime directory; commands take the daemon's name",
    ),
    Setting(
        "control_socket_mode --control-socket-mode INT",
        "control_group",
        "a group whose members may control the daemon",
        convert.unless_off,
    ),
    Setting(
        "control_socket_disable --no-control-socket", "", "no equal: commands, `prefork reload` among them, need it"
    ),
)

GUNICORN = Tool(
    "gunicorn",
    SETTINGS,
    (
        "A reload (HUP) replaces workers by ready successors; broken code changes nothing.",
        "`timeout` ends workers that make no progress, not slow ones; their stacks are in the log.",
        "The application is imported once for all workers, as with `preload_app`.",
        "The master imports no code of the application, so there are no hooks in it.",
        "USR2, the exchange of the master, has no equal; WINCH neither. TTIN and TTOU are `prefork scale +1` and `-1`.",
    ),
    {"workers": 1, "threads": 1},
    "application",
)
