"""The files of a new project, as text by path."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from .._units import Service, service
from .container import container
from .templates import Template

NAME = "@NAME@"
"""What stands in a template for the project's name."""
_SUFFIX = ".txt"
"""After each name in a template's folder: no tool takes these files for code of ours."""
_SPARE = 30.0
"""Seconds more than the drain timeout, after which systemd kills what is left."""
_ADDRESSES = {"http": "<http://127.0.0.1:8080/>", "grpc": "127.0.0.1:8080", "stream": "`nc 127.0.0.1 8080`", "none": ""}
"""What is outside of the containers, by the kind of proxy."""

_ABOUT = """
## What else is here

- `{tests}`: tests on a real server, by the fixture `prefork_server` of prefork's plugin for pytest. `pip install -r
  requirements-dev.txt`, then `pytest`.
- `prefork.toml`: the options of `prefork run`, which then needs no arguments.
- `{name}.service`: a unit for systemd, for this folder as /srv/{name}, with an environment in /srv/{name}/.venv and
  a user `{name}`. `prefork systemd` prints one for another place.
- `Dockerfile`, `compose.yaml`{nginx}: `docker compose up --build`{address}. In the container prefork
  is process 1, not root, and its file system is read-only.
"""


def project(name: str, template: Template) -> dict[str, str]:
    """Return the files of a project of this name."""
    written = {path: text.replace(NAME, name) for path, text in sorted(_own(template))}
    tests = next(path for path in written if path.startswith("test_"))
    written["README.md"] += _about(name, template, tests)
    written["requirements-dev.txt"] = "-r requirements.txt\n" + "".join(f"{each}\n" for each in template.tests)
    written[f"{name}.service"] = _unit(name, template)
    return dict(sorted((written | dict(container(name, template))).items()))


def _own(template: Template) -> Iterator[tuple[str, str]]:
    """Yield the files of a template's folder."""
    waiting: list[tuple[str, Traversable]] = [("", files(__package__) / "templates" / template.name)]
    while waiting:
        path, found = waiting.pop()
        for each in found.iterdir():
            if each.is_dir():
                waiting.append((f"{path}{each.name}/", each))
            elif each.name.endswith(_SUFFIX):
                yield path + each.name.removesuffix(_SUFFIX), each.read_text(encoding="utf-8")


def _about(name: str, template: Template, tests: str) -> str:
    addresses = {
        "http": "http://127.0.0.1:8080/",
        "grpc": "127.0.0.1:8080",
        "stream": "`nc 127.0.0.1 8080`",
        "none": "",
    }
    address = addresses[template.proxy]
    return _ABOUT.format(
        name=name,
        tests=tests,
        nginx=", `nginx.conf`" if address else "",
        address=f", then {address}" if address else "",
    )


def _unit(name: str, template: Template) -> str:
    place = f"/srv/{name}"
    unit = Service(
        name,
        name,
        place,
        [f"{place}/.venv/bin/prefork"],
        [template.target],
        stop_timeout=template.drain_timeout + _SPARE,
        writes=[place] if template.state is not None else [],
    )
    return service(unit)
