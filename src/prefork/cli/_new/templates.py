"""The templates: what each of them runs, and what its container and its proxy need to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Proxy = Literal["http", "grpc", "stream", "none"]


@dataclass(frozen=True, slots=True)
class Template:
    """A template; the files of its own are in the folder `templates/NAME`, each with `.txt` after its name."""

    name: str
    title: str
    target: str
    port: int = 8000
    proxy: Proxy = "http"
    """How nginx passes on what it gets."""
    variables: tuple[str, ...] = ("PREFORK_BIND=0.0.0.0:8000",)
    """What a container sets: clients are in another one."""
    state: tuple[str, str] | None = None
    """A variable with the path of a file that the project keeps, and that file's name."""
    first: tuple[str, ...] = ()
    """A command that has to have run before a start."""
    drain_timeout: float = 30
    tests: tuple[str, ...] = ("pytest",)
    """Packages that its tests need."""


TEMPLATES = {
    template.name: template
    for template in (
        Template("fastapi", "a FastAPI application", "app:app", tests=("httpx", "pytest")),
        Template(
            "django",
            "a Django project",
            "shop.wsgi",
            state=("DATABASE", "db.sqlite3"),
            first=("python", "manage.py", "migrate"),
            tests=("httpx", "pytest"),
        ),
        Template("flask", "a Flask application", "app:create_app", tests=("httpx", "pytest")),
        Template(
            "daemon",
            "a daemon of your own, here a chat over TCP",
            "talk:daemon",
            port=7001,
            proxy="stream",
            variables=("TALK_ADDRESS=tcp://0.0.0.0:7001",),
        ),
        Template(
            "consumer",
            "a daemon that works on a queue of jobs",
            "jobs:daemon",
            proxy="none",
            variables=(),
            state=("JOBS", "jobs.sqlite"),
        ),
        Template(
            "grpc",
            "a gRPC service",
            "greeter:daemon",
            port=50051,
            proxy="grpc",
            variables=("GREETER_HOST=0.0.0.0",),
            drain_timeout=60,
        ),
    )
}
