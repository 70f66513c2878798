"""uWSGI: the usual options of its ini files (2.0)."""

from __future__ import annotations

from . import convert, why
from .setting import Setting, Tool

_UWSGI = "HTTP, not the uwsgi protocol: in nginx, `proxy_pass` instead of `uwsgi_pass`"
_CHEAPER = "no equal: the number of workers is the plan's; `prefork scale` changes it"
_PROGRAM = "no equal: a worker of another kind in a `Daemon` (examples/), or a unit of its own"
_ROUTES = "no equal: the proxy, or a middleware of the application"
_HOOK = "no equal: ExecStartPre= and ExecStopPost= of the unit"
_EMPEROR = "no equal: a unit for each application (`prefork systemd`)"
_LOOP = "no equal: an ASGI application; or one that calls gevent's patch_all() itself (docs/imports.md)"
_CACHE = "no equal: workers share no cache; use Redis or the like"
_SPOOLER = "no equal: a queue such as Celery or RQ, or a worker of another kind in a `Daemon` (examples/)"
_LOGS = "no equal: `--log-format json` is for programs"

SETTINGS = (
    Setting("ini FILE", "config", "a TOML file: `prefork migrate` has read this one", convert.nothing),
    Setting("module wsgi w MODULE", "target", "", convert.module),
    Setting("wsgi-file file FILE", "target", "", convert.part("place")),
    Setting("callable NAME", "target", "as in shop:app", convert.part("callable")),
    Setting("http http-socket ADDRESS", "bind", "", convert.uwsgi_address),
    Setting("socket uwsgi-socket s ADDRESS", "bind", "", convert.uwsgi_address, note=_UWSGI),
    Setting("https https-socket ADDRESS", "", "its parts are `bind`, `tls_cert` and `tls_key`"),
    Setting("chmod-socket MODE", "bind", "as in unix:/run/shop.sock?mode=660", convert.part("mode")),
    Setting("chown-socket OWNER", "bind", "as in unix:/run/shop.sock?owner=shop&group=www-data", convert.part("chown")),
    Setting("listen N", "backlog"),
    Setting("processes workers p N", "workers", "", convert.processes),
    Setting("threads N", "threads"),
    Setting("enable-threads", "", "always so", convert.nothing),
    Setting("master", "", "always so", convert.nothing),
    Setting("master-fifo", "", "no equal: commands such as `prefork reload` take the daemon's name"),
    Setting("vacuum", "", "always so: sockets and pid file are removed", convert.nothing),
    Setting("die-on-term", "", "always so: TERM is an orderly stop", convert.nothing),
    Setting(
        "no-orphans",
        "orphan_grace",
        "seconds that workers serve on without their master",
        convert.fixed("orphan_grace", 0),
    ),
    Setting("need-app strict", "", "always so", convert.nothing),
    Setting("single-interpreter", "", "always so", convert.nothing),
    Setting("thunder-lock", "", "not needed: a connection wakes one worker", convert.nothing),
    Setting("lazy lazy-apps", "preload", "with --no-preload each worker imports by itself", convert.off("preload")),
    Setting("plugin plugins PLUGIN", "", "not needed: Python only", convert.python_plugin),
    Setting("harakiri SECONDS", "hang_timeout", note=why.NO_PROGRESS),
    Setting("harakiri-verbose", "", "always so: the log has the stacks", convert.nothing),
    Setting("max-requests N", "max_requests"),
    Setting("max-requests-delta N", "max_requests_jitter"),
    Setting("max-worker-lifetime SECONDS", "max_age"),
    Setting("min-worker-lifetime SECONDS", "", "not needed: a worker that fails at once is paced"),
    Setting(
        "reload-on-rss evil-reload-on-rss N",
        "max_memory",
        "",
        convert.to("max_memory", convert.megabytes),
        note=why.PRIVATE,
    ),
    Setting("reload-on-as evil-reload-on-as N", "", "`max_memory`, of private memory"),
    Setting("limit-as N", "", "LimitAS= of the unit"),
    Setting("worker-reload-mercy SECONDS", "drain_timeout"),
    Setting("reload-mercy SECONDS", "drain_timeout"),
    Setting("mule-reload-mercy SECONDS", "", _PROGRAM),
    Setting(
        "touch-reload touch-chain-reload touch-workers-reload FILE",
        "",
        "no equal: `prefork reload` waits for the outcome; `reload` watches, in development",
    ),
    Setting("py-autoreload python-autoreload SECONDS", "reload", "", convert.flag("reload")),
    Setting("fs-reload FILE", "", "no equal: `reload` watches Python files, in development"),
    Setting("chdir chdir2 force-cwd DIR", "chdir"),
    Setting("pythonpath pp python-path DIR", "python_path", "", convert.lines("python_path")),
    Setting("home virtualenv venv H DIR", "", "start the prefork of that environment: DIR/bin/prefork"),
    Setting("env ENV", "env", "", convert.lines("env")),
    Setting("unenv NAME", "", "UnsetEnvironment= of the unit"),
    Setting("for-readline FILE", "", "no equal: TOML has no loops"),
    Setting("uid USER", "user", "", convert.to("user", str), note=why.MASTER_IS_ROOT),
    Setting("gid GROUP", "group", "", convert.to("group", str)),
    Setting("add-gid GROUP", "user", "always so: a user has all its groups", convert.nothing),
    Setting("umask MODE", "umask", "in octal", convert.to("umask", str)),
    Setting("cap CAPABILITIES", "", "AmbientCapabilities= of the unit"),
    Setting("chroot DIR", "", "RootDirectory= of the unit"),
    Setting("pidfile pidfile2 safe-pidfile FILE", "pid_file"),
    Setting("daemonize daemonize2 d FILE", "prefork systemd", why.BACKGROUND),
    Setting("logto logto2 log-file FILE", "log_file", why.TO_STDERR, convert.log_file),
    Setting("logger LOGGER", "log_file", why.TO_STDERR, convert.uwsgi_logger),
    Setting("req-logger worker-logger LOGGER", "", _LOGS),
    Setting("log-format FORMAT", "", "no equal: `access_log_format` has gunicorn's fields, such as %(h)s"),
    Setting("log-master", "", "always so", convert.nothing),
    Setting("log-date", "", "always so", convert.nothing),
    Setting("log-encoder log-req-encoder ENCODER", "", _LOGS),
    Setting(
        "log-x-forwarded-for", "forwarded_allow_ips", "the client's address is that behind the proxies", convert.nothing
    ),
    Setting("log-maxsize BYTES", "", "logrotate with USR1 (docs/logs.md)"),
    Setting("log-reopen log-truncate touch-logreopen FILE", "", "USR1 to the master reopens log files"),
    Setting("log-4xx log-5xx log-slow", "access_log", "no equal: it has all requests", convert.unless_off),
    Setting("disable-logging", "access_log", "off unless it is given", convert.fixed("access_log", None)),
    Setting(
        "disable-write-exception ignore-sigpipe ignore-write-errors",
        "",
        "not needed: a client that goes away is no error",
        convert.nothing,
    ),
    Setting(
        "buffer-size b BYTES", "limit_request_headers", "not needed: the server's own limit is larger", convert.nothing
    ),
    Setting("limit-post BYTES", "limit_request_body"),
    Setting(
        "post-buffering post-buffering-bufsize BYTES",
        "",
        "not needed: the server reads a body as it comes",
        convert.nothing,
    ),
    Setting("http-auto-chunked http-chunked-input", "", "always so", convert.nothing),
    Setting("protocol PROTOCOL", "", "no equal: HTTP only", convert.only("http")),
    Setting("pyargv ARGUMENTS", "", "no equal: `env` sets variables"),
    Setting("binary-path PATH", "", "not needed", convert.nothing),
    Setting(
        "http-timeout SECONDS",
        "",
        "no equal: a slow application is not cut; `hang_timeout` ends a worker without progress",
    ),
    Setting("socket-timeout SECONDS", "", "no equal: the server's default holds"),
    Setting("http-keepalive SECONDS", "keep_alive", "", convert.keep_alive, note=why.IDLE),
    Setting("add-header HEADER", "", why.HEADERS),
    Setting("so-keepalive", "", "no equal: the kernel's default holds"),
    Setting("reuse-port", "", "no equal: each server has what is right for it (docs/listeners.md)"),
    Setting("proxy-protocol http-enable-proxy-protocol", "", why.PROXY_PROTOCOL),
    Setting("mount manage-script-name MOUNT", "", "`root_path` where there is one application; else a unit for each"),
    Setting("static-map static-map2 static-index static-expires check-static STATIC", "", why.STATIC),
    Setting("offload-threads N", "", why.STATIC),
    Setting("route route-host route-uri route-run ROUTE", "", _ROUTES),
    Setting("attach-daemon attach-daemon2 smart-attach-daemon legion-attach-daemon COMMAND", "", _PROGRAM),
    Setting("mule mules farm MULE", "", _PROGRAM),
    Setting("cron cron2 unique-cron COMMAND", "", "no equal: a timer of systemd"),
    Setting("spooler spooler-processes spooler-frequency DIR", "", _SPOOLER),
    Setting("import shared-import pyshared-import MODULE", "", "import it in the application"),
    Setting("cache cache2 queue sharedarea CACHE", "", _CACHE),
    Setting("locks lock-engine N", "", _CACHE),
    Setting("emperor vassals-dir zerg zerg-server DIR", "", _EMPEROR),
    Setting("cheap idle cheaper cheaper-initial cheaper-step cheaper-algo cheaper-overload N", "", _CHEAPER),
    Setting("async gevent ugreen asyncio greenlet N", "", _LOOP),
    Setting("gevent-monkey-patch gevent-early-monkey-patch", "", _LOOP),
    Setting("stats stats-server stats-http stats-push ADDRESS", "", why.FIGURES),
    Setting("memory-report", "", "`prefork status` and `prefork top` show memory", convert.nothing),
    Setting(
        "procname procname-master procname-append procname-prefix procname-prefix-spaced NAME",
        "name",
        "",
        convert.to("name", lambda text: text.strip(" -:")),
    ),
    Setting("auto-procname", "", "always so", convert.nothing),
    Setting("cpu-affinity N", "", "CPUAffinity= of the unit, or `affinity` of a kind in a `Daemon`"),
    Setting("nice N", "", "Nice= of the unit"),
    Setting("close-on-exec", "", "always so", convert.nothing),
    Setting("exec-pre-app exec-asap exec-post-app exec-as-user exec-atexit COMMAND", "", _HOOK),
    Setting("hook-asap hook-pre-app hook-post-app hook-as-root hook-as-user hook-accepting1 HOOK", "", _HOOK),
    Setting("show-config", "prefork check", "with --show it prints every option", convert.nothing),
    Setting("set set-placeholder set-ph VALUE", "", "no equal: write the value where it is used"),
)

UWSGI = Tool(
    "uwsgi",
    SETTINGS,
    (
        "The workers speak HTTP, not the uwsgi protocol: in nginx, `proxy_pass` instead of `uwsgi_pass`.",
        "`harakiri` ends slow requests; `hang_timeout` ends workers that make no progress, and logs stacks.",
        "A reload replaces workers when their successors are ready; broken code changes nothing.",
        "There is no number of workers that changes with the load: `prefork scale` changes it.",
        "Static files, routes, caches, spoolers and cron jobs are for the proxy, the application and systemd.",
    ),
    {"workers": 1, "threads": 1, "access_log": "-"},
    "application",
)
