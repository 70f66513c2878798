"""Reasons and differences that several tools share."""

from __future__ import annotations

NO_PROGRESS = "it ends a worker that makes no progress, not one that is slow"
PROXY_PROTOCOL = "no equal: `proxy_protocol` is for uvicorn"
IDLE = "shorter than a balancer's idle time, it loses requests"
PRIVATE = "private memory, without what the workers share"
MASTER_IS_ROOT = "the master stays root, and imports nothing of the application"
FIGURES = "no equal: `--metrics` (docs/metrics.md) and `prefork status --json` have the figures"
METRICS = "host and port are one address in `metrics`"
WATCHED = "no equal: it watches the Python files of `reload_dir`"
BACKGROUND = "a service manager runs it in the background"
TO_STDERR = "by default the log goes to standard error"
FACTORY = "a factory is recognised and called: name it as the target, shop:create_app"
STATIC = "no equal: the proxy, or a middleware such as WhiteNoise, serves files"
HEADERS = "no equal: a middleware of the application, or the proxy, adds headers"
