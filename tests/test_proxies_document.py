"""The table of docs/proxies.md says what each server does, and why another refuses."""

from __future__ import annotations

from pathlib import Path

from prefork._options.listed.connections import CONNECTIONS
from prefork._options.listed.proxies import PROXIES
from prefork.adapters.web.lacking import lacking

DOCUMENT = Path(__file__).parent.parent / "docs" / "proxies.md"
SERVERS = [
    ("uvicorn", "asgi"),
    ("hypercorn", "asgi"),
    ("granian", "asgi"),
    ("granian", "wsgi"),
    ("waitress", "wsgi"),
]


def rows() -> list[str]:
    """Return the rows that the document has to have; `python tests/test_proxies_document.py` prints them."""
    found = []
    for option in (*PROXIES, *CONNECTIONS):
        reasons = [lacking(*server).get(option.name) for server in SERVERS]
        cells = [f"refused, because {reason}" if reason else "yes" for reason in reasons]
        found.append(f"| `{option.flag}` | {' | '.join(cells)} |")
    return found


def test_table_has_each_option_for_each_server() -> None:
    section = DOCUMENT.read_text().partition("## What each server can do\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `--") and "root-path" not in line]
    assert lines == rows()


def test_every_option_that_is_refused_exists() -> None:
    names = {option.name for option in CONNECTIONS}
    assert {name for server in SERVERS for name in lacking(*server)} <= names


if __name__ == "__main__":
    print("\n".join(rows()))
