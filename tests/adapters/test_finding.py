"""Servers are found by name or by what they serve, and what is missing is said with what to install."""

from __future__ import annotations

import sys

import pytest

from prefork import UsageError, adapters
from support import Start

ASK = """
import sys
{before}
from prefork import UsageError, adapters
try:
    print("found", adapters.find({name!r}, {protocol!r}).name)
except UsageError as error:
    print("refused:", error)
"""


def find(start: Start, name: str | None, protocol: str, before: str = "", **options: object) -> str:
    """Return what a fresh interpreter says; `before` is run in it first."""
    program = start.command(sys.executable, "-c", ASK.format(name=name, protocol=protocol, before=before), **options)
    assert program.wait() == 0, program.err
    return program.out[-1]


@pytest.mark.parametrize(
    ("name", "protocol", "reason"),
    [
        ("uvicon", "asgi", "there is no server 'uvicon': did you mean uvicorn?"),
        ("apache", "asgi", "there is no server 'apache': the servers are granian, hypercorn, uvicorn, waitress"),
        ("uvicorn", "wsgi", "the server uvicorn serves asgi applications, not wsgi; choose another"),
        ("waitress", "asgi", "the server waitress serves wsgi applications, not asgi; choose another"),
        (None, "cgi", "no server for 'cgi' applications: give 'asgi' or 'wsgi'"),
    ],
)
def test_what_cannot_be_found_is_refused(name: str | None, protocol: str, reason: str) -> None:
    with pytest.raises(UsageError) as refused:
        adapters.find(name, protocol)
    assert str(refused.value) == reason


@pytest.mark.parametrize("name", ["granian", "hypercorn", "uvicorn", "waitress"])
def test_missing_server_is_named_with_what_to_install(start: Start, name: str) -> None:
    answer = find(start, name, "wsgi" if name == "waitress" else "asgi", f"sys.modules[{name!r}] = None")
    assert answer.startswith(f"refused: the server {name} is not installed (")
    assert answer.endswith(f"): pip install 'prefork[{name}]'")


def test_the_best_there_is_serves_who_names_none(start: Start) -> None:
    assert find(start, None, "asgi") == "found uvicorn"
    assert find(start, None, "wsgi") == "found waitress"
    assert find(start, None, "wsgi", "sys.modules['waitress'] = None") == "found granian"
    neither = find(start, None, "wsgi", "sys.modules['waitress'] = sys.modules['granian'] = None")
    assert neither.startswith("refused: the server waitress is not installed (")


def test_a_granian_with_other_names_is_refused_with_its_version(start: Start) -> None:
    import granian

    other = "import granian._granian; del granian._granian.SocketHolder"
    answer = find(start, "granian", "asgi", other)
    assert answer.startswith(f"refused: granian {granian.__version__} is not supported (")
    assert "SocketHolder" in answer
    alone = find(start, None, "wsgi", f"{other}; sys.modules['waitress'] = None")
    assert alone.startswith("refused: the server waitress is not installed (")


def test_a_granian_that_nobody_has_tried_is_refused(start: Start) -> None:
    answer = find(start, "granian", "asgi", "import granian; granian.__version__ = '2.9.1'")
    assert answer == ("refused: granian 2.9.1 is not supported (tested with 2.8.*): pip install 'prefork[granian]'")


def test_others_offer_theirs_by_an_entry_point(start: Start) -> None:
    (start.directory / "their.py").write_text(
        "class Server:\n    name, protocols, sharing = 'theirs', frozenset({'asgi'}), 'shared'\nserver = Server()\n"
    )
    info = start.directory / "their-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[prefork.servers]\ntheirs = their:server\n")
    environment = {"PYTHONPATH": str(start.directory)}
    assert find(start, "theirs", "asgi", env=environment) == "found theirs"
    assert (
        find(start, "theirs", "wsgi", env=environment)
        == "refused: the server theirs serves asgi applications, not wsgi; choose another"
    )
    assert find(start, "their", "asgi", env=environment).endswith("did you mean theirs?")


def test_prefork_itself_imports_no_server(start: Start) -> None:
    servers = "{'uvicorn', 'granian', 'hypercorn', 'waitress', 'asyncio'}"
    program = start.command(
        sys.executable, "-c", f"import sys, prefork, prefork.adapters; print({servers} & set(sys.modules))"
    )
    assert program.wait() == 0
    assert program.out == ["set()"]
