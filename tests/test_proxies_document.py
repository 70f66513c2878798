"""The table of docs/proxies.md says what each server does, and why another refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefork._errors import UsageError
from prefork._options.listed.connections import CONNECTIONS
from prefork._options.listed.proxies import PROXIES
from prefork._options.table import resolve
from prefork.adapters.web.lacking import lacking, refuse

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
    names = {option.name for option in (*PROXIES, *CONNECTIONS)}
    assert {name for server in SERVERS for name in lacking(*server)} <= names


def test_proxy_protocol_before_tls_is_refused(tmp_path: Path) -> None:
    given = {"proxy_protocol": True, "tls_cert": "c.pem", "tls_key": "k.pem"}
    with pytest.raises(
        UsageError, match=r"^--proxy-protocol: its header would come before TLS; let the proxy end TLS$"
    ):
        refuse("uvicorn", "asgi", resolve(given, {}, str(tmp_path)))


if __name__ == "__main__":
    print("\n".join(rows()))
