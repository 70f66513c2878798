"""Options of other servers, and what takes their place here: one table for the command line and for `prefork.run()`."""

from __future__ import annotations

from collections.abc import Mapping

_TABLE = (
    (
        "--host --port -p --uds --fd --http-socket",
        "--bind",
        "as in 127.0.0.1:8000, unix:/run/shop.sock or fd://3",
    ),
    (
        "-k --worker-class --worker-type --http",
        "--server",
        "uvicorn, granian, hypercorn or waitress",
    ),
    ("-t --timeout --harakiri", "--hang-timeout", "it ends a worker that makes no progress, not one that is slow"),
    ("--graceful-timeout --timeout-graceful-shutdown --workers-kill-timeout", "--drain-timeout", ""),
    ("--limit-max-requests", "--max-requests", ""),
    ("--limit-max-requests-jitter", "--max-requests-jitter", ""),
    ("--workers-lifetime --max-worker-lifetime", "--max-age", ""),
    ("--workers-max-rss --reload-on-rss", "--max-memory", ""),
    ("--processes --worker-processes", "--workers", ""),
    ("--blocking-threads --worker-threads", "--threads", ""),
    ("--url-path-prefix", "--root-path", ""),
    ("--log-syslog --error-logfile --errorlog --error-log", "--log-file", "by default the log goes to standard error"),
    ("--capture-output --enable-stdio-inheritance", "--capture", ""),
    ("--reload-include --reload-exclude --reload-extra-file --reload-paths", "--reload-dir", "it watches Python files"),
    ("--print-config --check-config", "prefork check", "with --show it prints every option"),
    ("--preload-app", "--preload", "it is the default"),
    ("-u --uid", "--user", ""),
    ("-g --gid", "--group", ""),
    ("-c", "--config", "a TOML file"),
    ("--factory", "", "a factory is recognised and called: name it as the target, shop:create_app"),
    (
        "-D --daemon --daemonize",
        "",
        "a service manager runs it in the background (docs/systemd.md)",
    ),
    (
        "--certfile --keyfile --ca-certs --ciphers --ssl-certfile --ssl-certificate --ssl-keyfile --ssl-ca-certs",
        "",
        "there is no TLS yet: put a proxy such as nginx or Caddy in front",
    ),
    (
        "--access-logfile --access-logformat --access-log --no-access-log --access-log-format",
        "",
        "there is no access log: let the proxy or the application write it; `prefork top` shows requests",
    ),
    (
        "--pid --pidfile",
        "",
        "there is no pid file: `prefork list` has the pid; commands take the name",
    ),
    (
        "--app-dir --chdir --pythonpath --working-dir",
        "",
        "start it there, or name the file: path/to/shop.py:app",
    ),
    ("--wsgi-file --module --wsgi-app", "", "name the application as the target: prefork run shop:app"),
    ("-e --env --env-file", "", "set variables in the shell, or in the unit of the service manager"),
    ("-m --umask", "", "set the umask in the shell, or UMask= in the unit"),
    ("--timeout-keep-alive --http-keepalive", "--keep-alive", ""),
    ("--proxy-headers --no-proxy-headers", "--forwarded-allow-ips", "headers of other addresses change nothing"),
    ("--listen", "--backlog", ""),
    (
        "--worker-connections --limit-concurrency --worker-tmp-dir --ws --ws-max-size --h11-max-incomplete-event-size",
        "",
        "there is none: the server's own default holds",
    ),
    ("--log-config --logger-class --use-colors --no-use-colors", "", "the application configures logging as it likes"),
    ("--statsd-host --statsd-prefix", "", "there is none: `prefork status --json` and the scoreboard have the figures"),
)
"""Names, what takes their place (an option or a command of prefork, or nothing), and what else to know."""

PLACES: Mapping[str, tuple[str, str]] = {name: (ours, text) for names, ours, text in _TABLE for name in names.split()}


def advice(name: str) -> str:
    """Return what to append to the error about an option of another server; empty for any other name."""
    if name not in PLACES:
        return ""
    ours, text = PLACES[name]
    return ": " + "; ".join(filter(None, [f"here it is {ours}" if ours else "", text]))
