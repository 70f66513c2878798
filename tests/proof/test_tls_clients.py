"""What people use over TLS: curl with HTTP/2, `openssl s_client`, and a headless Chromium that loads a page."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.secured import Authority
from support import PATIENCE, Start, until
from system.runs import Run, write

SERVERS = [("uvicorn", "asgi"), ("hypercorn", "asgi"), ("granian", "asgi"), ("granian", "wsgi")]
LARGE = 4_000_000

PAGE = """<!doctype html><title>page</title><link rel="icon" href="data:,"><script>
const socket = () => new Promise((resolve, reject) => {
  const talk = new WebSocket(location.href.replace("https", "wss") + "talk");
  talk.onopen = () => talk.send("hello");
  talk.onmessage = (event) => resolve(event.data);
  talk.onerror = () => reject("WebSocket");
});
const events = () => new Promise((resolve, reject) => {
  const source = new EventSource("/events"), found = [];
  source.onmessage = (event) => { if (found.push(event.data) == 3) { source.close(); resolve(found); } };
  source.onerror = () => reject("EventSource");
});
const text = async (...asked) => await (await fetch(...asked)).text();
const main = async () => ({
  protocol: performance.getEntriesByType("navigation")[0].nextHopProtocol,
  numbers: await Promise.all([...Array(50).keys()].map((number) => text("/number?" + number))),
  upload: await text("/upload", { method: "POST", body: new Uint8Array(LARGE) }),
  download: (await text("/download")).length,
  events: await events(),
  socket: SOCKETS ? await socket() : "hello",
});
main().catch((error) => ({ error: String(error) })).then((told) =>
  fetch("/told", { method: "POST", body: JSON.stringify(told) }));
</script>""".replace("LARGE", str(LARGE))

PROGRAM = f"""
import os
from pathlib import Path

PAGE = Path("page.html").read_bytes()
EVENTS = [b"data: %d\\n\\n" % number for number in range(3)]

def answer(path, query, body):
    if path == "/told":
        Path("told.new").write_bytes(body)
        os.rename("told.new", "told")
    html = {{"/": PAGE, "/number": query, "/upload": b"%d" % len(body), "/download": b"x" * {LARGE}}}
    return html.get(path, b"")

async def asgi(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({{"type": "websocket.accept"}})
        while (message := await receive())["type"] == "websocket.receive":
            await send({{"type": "websocket.send", "text": message["text"]}})
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    stream = scope["path"] == "/events"
    kind = b"text/event-stream" if stream else b"text/html"
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]}})
    for part in EVENTS if stream else [answer(scope["path"], scope["query_string"], body)]:
        await send({{"type": "http.response.body", "body": part, "more_body": True}})
    await send({{"type": "http.response.body", "body": b""}})

def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    kind = "text/event-stream" if path == "/events" else "text/html"
    start_response("200 OK", [("Content-Type", kind)])
    if path == "/events":
        return EVENTS
    return [answer(path, environ["QUERY_STRING"].encode(), environ["wsgi.input"].read())]
"""


class Site:
    """A daemon with TLS, the authority of its certificate, and the key's digest as Chromium takes it."""

    def __init__(self, start: Start, server: tuple[str, str]) -> None:
        self.start, self.server = start, server
        self.authority = Authority(start.directory / "authority")
        certificate, key, _ = self.authority.issue()
        (start.directory / "both.pem").write_bytes(certificate + key)
        write(start, "page.html", PAGE.replace("SOCKETS", "true" if server[1] == "asgi" else "false"))
        write(start, "pages.py", PROGRAM)
        self.run = Run(start, f"pages:{server[1]}", "--server", server[0], "-w", "2", "--tls-cert", "both.pem")
        self.run.ready()
        self.http2 = server[0] != "uvicorn"

    @property
    def url(self) -> str:
        return f"https://localhost:{self.run.port}"

    def digest(self) -> str:
        public = subprocess.run(
            f"openssl x509 -in {self.start.directory}/both.pem -noout -pubkey | openssl pkey -pubin -outform der",
            shell=True,
            check=True,
            capture_output=True,
        )
        return base64.b64encode(hashlib.sha256(public.stdout).digest()).decode()


@pytest.fixture(scope="module", params=SERVERS, ids="-".join)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    start = Start(tmp_path_factory.mktemp("site"))
    try:
        made = Site(start, request.param)
        yield made
        assert made.run.stop() == 0
        assert not [line for line in made.run.running.err if "Traceback" in line], made.run.running.err
    finally:
        start.close()


def command(name: str) -> str:
    return shutil.which(name) or pytest.skip(f"{name} is not installed")


def curl(site: Site, *arguments: str | Path) -> str:
    trust = ("--cacert", site.authority.certificate, "--max-time", str(PATIENCE))
    asked = [command("curl"), "-sS", "--http2", *trust, *arguments]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout


def test_curl_multiplexes_requests_and_bodies(site: Site) -> None:
    if "HTTP2" not in curl(site, "--version"):
        pytest.skip("this curl has no HTTP/2")
    version = "2" if site.http2 else "1.1"
    assert curl(site, "-o", "/dev/null", "-w", "%{http_version}", site.url) == version
    body = site.start.directory / "body"
    body.write_bytes(bytes(LARGE))
    assert curl(site, "--data-binary", f"@{body}", f"{site.url}/upload") == str(LARGE)
    assert len(curl(site, f"{site.url}/download")) == LARGE
    told = curl(site, "-Z", "-w", "%{http_version}\n", "-o", f"{body}-#1", f"{site.url}/number?[1-100]")
    assert told.splitlines() == [version] * 100
    assert all(Path(f"{body}-{number}").read_text() == str(number) for number in range(1, 101))


def test_openssl_verifies_and_negotiates(site: Site) -> None:
    asked = (command("openssl"), "s_client", "-connect", f"localhost:{site.run.port}", "-servername", "localhost")
    more = ("-CAfile", str(site.authority.certificate), "-verify_return_error", "-alpn", "h2,http/1.1")
    done = subprocess.run([*asked, *more], input="", capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert f"ALPN protocol: {'h2' if site.http2 else 'http/1.1'}\n" in done.stdout
    assert "Verify return code: 0 (ok)" in done.stdout
    assert re.search(r"^New, TLSv1.3, Cipher is TLS_", done.stdout, re.MULTILINE)


def test_chromium_loads_a_page_with_all_that_it_asks_for(site: Site) -> None:
    chromium = command("chromium")
    profile = site.start.directory / "profile"
    options = [
        "--headless=new",
        "--disable-gpu",
        "--no-first-run",
        "--disable-dev-shm-usage",
        f"--user-data-dir={profile}",
    ]
    options += ["--no-sandbox"] * (os.geteuid() == 0)
    options += [f"--ignore-certificate-errors-spki-list={site.digest()}", site.url]
    browser = site.start.command(chromium, *options, env={"HOME": str(profile)})
    told = site.start.directory / "told"
    until(told.exists, "the page is done")
    found: dict[str, Any] = json.loads(told.read_bytes())
    browser.send(signal.SIGTERM)
    browser.wait()
    assert found == {
        "protocol": "h2" if site.http2 else "http/1.1",
        "numbers": [str(number) for number in range(50)],
        "upload": str(LARGE),
        "download": LARGE,
        "events": ["0", "1", "2"],
        "socket": "hello",
    }
