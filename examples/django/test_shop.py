"""The project on its real server, with two workers and a database of its own."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from prefork.testing.plugin import StartServer


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Make the tables."""
    path = tmp_path / "db.sqlite3"
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=Path(__file__).parent, env=os.environ | {"DATABASE": str(path)}, check=True)
    return path


def test_page_counts_orders_over_a_reload(prefork_server: StartServer, database: Path) -> None:
    """A query is answered, also by the workers of the next generation."""
    server = prefork_server("shop.wsgi", workers=2, env=f"DATABASE={database}")
    assert httpx.get(server.url).json() == {"orders": 0}
    server.reload()
    assert httpx.get(server.url).json() == {"orders": 0}


def test_admin_pages_have_their_styles(prefork_server: StartServer, database: Path) -> None:
    """The login page and a static file are served."""
    server = prefork_server("shop.wsgi", workers=2, env=f"DATABASE={database}")
    assert httpx.get(f"{server.url}/admin/login/").status_code == 200
    assert httpx.get(f"{server.url}/static/admin/css/base.css").headers["content-type"].startswith("text/css")
