"""The files of a project for containers: image, compose file, and the settings of nginx."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

from .templates import Template

_USER = 10001
"""Of the container: any id does, and one above those of usual systems has no other user."""
_SPARE = 15
"""Seconds more than the drain timeout, after which the runtime kills what is left."""
_OUTSIDE = 8080
"""The port of the machine that nginx has."""

_COMPOSE_APP = """\
services:
{first}  app:
    build: .
    init: false  # prefork is process 1 by itself
    read_only: true
    tmpfs: [/tmp]  # its runtime directory
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    stop_grace_period: {grace:g}s  # longer than the drain timeout
    restart: unless-stopped
"""
_COMPOSE_TRUST = """\
    environment:
      PREFORK_FORWARDED_ALLOW_IPS: "*"  # only nginx reaches it: its port is not published
"""
_COMPOSE_FIRST = """\
  prepare:
    build: .
    command: [{command}]
    healthcheck: {{disable: true}}
    volumes: ["data:/data"]
"""
_COMPOSE_AFTER = """\
    depends_on:
      prepare: {condition: service_completed_successfully}
"""
_COMPOSE_NGINX = """\

  nginx:
    image: nginx:1.28
    read_only: true
    tmpfs: [/var/cache/nginx, /run]
    volumes: ["./nginx.conf:/etc/nginx/nginx.conf:ro"]
    ports: ["127.0.0.1:{outside}:8080"]
    depends_on:
      app: {{condition: service_healthy}}
    restart: unless-stopped
"""


def container(name: str, template: Template) -> Iterator[tuple[str, str]]:
    """Yield the files for containers, by path."""
    yield "Dockerfile", _dockerfile(name, template)
    yield ".dockerignore", _text(".dockerignore")
    yield "compose.yaml", _compose(template)
    if template.proxy != "none":
        yield "nginx.conf", _text(f"nginx-{template.proxy}.conf").replace("@PORT@", str(template.port))


def _text(name: str) -> str:
    return (files(__package__) / "templates" / "_container" / f"{name}.txt").read_text(encoding="utf-8")


def _dockerfile(name: str, template: Template) -> str:
    variables = [*template.variables]
    folders = ""
    if template.state is not None:
        variable, file = template.state
        variables.append(f"{variable}=/data/{file}")
        folders = f" && install -d -o {_USER} -g {_USER} /data"
    text = _text("Dockerfile")
    for placeholder, value in {
        "@NAME@": name,
        "@USER@": str(_USER),
        "@VARIABLES@": "".join(f" {each}" for each in variables),
        "@FOLDERS@": folders,
        "@EXPOSE@": f"EXPOSE {template.port}\n" if template.proxy != "none" else "",
    }.items():
        text = text.replace(placeholder, value)
    return text


def _compose(template: Template) -> str:
    command = ", ".join(f'"{word}"' for word in template.first)
    text = _COMPOSE_APP.format(
        first=_COMPOSE_FIRST.format(command=command) + "\n" if command else "",
        grace=template.drain_timeout + _SPARE,
    )
    if template.proxy == "http":
        text += _COMPOSE_TRUST
    if template.state is not None:
        text += '    volumes: ["data:/data"]\n'
    if command:
        text += _COMPOSE_AFTER
    if template.proxy != "none":
        text += _COMPOSE_NGINX.format(outside=_OUTSIDE)
    if template.state is not None:
        text += "\nvolumes:\n  data:\n"
    return text
