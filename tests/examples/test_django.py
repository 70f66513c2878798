"""Django with its admin pages and a real database."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from examples.example import Example
from load import Load
from support import PATIENCE, PROOF, Start

RUN = "prefork run shop.wsgi -w 4 -b 127.0.0.1:8000"


ADMIN = {
    "DJANGO_SUPERUSER_USERNAME": "admin",
    "DJANGO_SUPERUSER_PASSWORD": "secret",
    "DJANGO_SUPERUSER_EMAIL": "admin@example.org",
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make the example's database as its README says, once for all tests."""
    start = Start(tmp_path_factory.mktemp("django"))
    shop = Example(start, "django", **ADMIN)
    assert shop.command("python manage.py migrate").wait() == 0
    shop.readme += "\n    python manage.py createsuperuser --noinput"  # a person is asked, a test is not
    assert shop.command("python manage.py createsuperuser --noinput").wait() == 0
    (file,) = shop.folder.glob("*.sqlite3")
    yield file
    start.close()


@pytest.fixture
def shop(start: Start, database: Path) -> Example:
    shop = Example(start, "django", **ADMIN)
    shutil.copy(database, shop.folder)
    return shop


class Admin:
    """A browser, as far as the admin pages need one."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE, follow_redirects=True)

    def again(self) -> httpx.Client:
        """Return the browser with its cookies and no connection."""
        cookies = self.client.cookies
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE, follow_redirects=True, cookies=cookies)
        return self.client

    def submit(self, path: str, **fields: str) -> httpx.Response:
        page = self.client.get(path)
        assert page.status_code == 200
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token
        return self.client.post(path, data={"csrfmiddlewaretoken": token[1], **fields})


def test_admin_pages_work_through_a_reload_and_a_mistake(shop: Example) -> None:
    shop.run(RUN, "--keepalive-window", "10")
    admin = Admin(shop.port)
    login = admin.client.get("/admin/login/")
    style = re.search(r'href="(/static/admin/css/base[^"]*\.css)"', login.text)
    assert style
    assert admin.client.get(style[1]).headers["content-type"].startswith("text/css")
    page = admin.submit("/admin/login/", username="admin", password="secret", next="/admin/")
    assert "Log out" in page.text
    for number in range(8):  # sooner or later by each of the four
        assert admin.submit("/admin/orders/order/add/", what=f"a chair, {number}").status_code == 200
    admin.client.close()  # else an old worker waits for its next request
    reload_loses_nothing(shop, b'{"orders": 8}')
    with admin.again() as client:
        assert "a chair, 7" in client.get("/admin/orders/order/").text, "logged in still"
    shop.edit("shop/settings.py", "DEBUG = False", "DEBUG = Fals")
    shop.running.send(signal.SIGHUP)
    shop.running.expect("^    NameError: name 'Fals' is not defined", "err")
    assert httpx.get(f"http://127.0.0.1:{shop.port}/", timeout=PATIENCE).json() == {"orders": 8}
    assert shop.stop() == 0


@pytest.mark.skipif(not PROOF, reason="make proof runs it")
def test_reload_of_the_asgi_application_loses_nothing(shop: Example) -> None:
    shop.run("prefork run shop.asgi", "-w", "2", "-b", "127.0.0.1:8000", "--keepalive-window", "10")
    reload_loses_nothing(shop, b'{"orders": 0}')
    assert shop.stop() == 0


def reload_loses_nothing(shop: Example, body: bytes) -> None:
    """Reload while clients ask on new and on kept connections; `make proof` has more of both."""
    each = 3 if PROOF else 1
    new, kept = Load(shop.port, body, each), Load(shop.port, body, each, keep=True)
    with new, kept:
        for _ in range(2 if PROOF else 1):
            new.more(10)
            kept.more(10)
            shop.reload()
        new.more(10)
        kept.more(10)
    assert not new.failures + kept.failures
