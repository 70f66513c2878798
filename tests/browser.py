"""A headless Chromium for tests and pictures, spoken to by its DevTools protocol over a WebSocket."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from support import PATIENCE, Running, Start, until

OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0"),
    *("--disable-background-networking", "--disable-component-update", "--no-first-run", "--mute-audio"),
)


class Browser:
    """One Chromium with an empty profile in the test's directory."""

    def __init__(self, start: Start) -> None:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        if program is None:
            pytest.skip("no chromium on this machine")
        self._open = ExitStack()
        profile = start.directory / "chromium"
        self.running: Running = start.command(program, *OPTIONS, f"--user-data-dir={profile}", "about:blank")
        found = self.running.expect(r"DevTools listening on ((ws://[^/]+)/\S+)", "err")
        self._address = found[2]
        self._whole = self._open.enter_context(connect(found[1], max_size=None))

    def page(self, url: str, width: int = 1920, height: int = 1080, **media: str) -> Page:
        """Open a page. `media`: features of the style's media queries, with `_` for `-`."""
        self._whole.send(json.dumps({"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}}))
        target = json.loads(self._whole.recv(PATIENCE))["result"]["targetId"]
        page = Page(self._open.enter_context(connect(f"{self._address}/devtools/page/{target}", max_size=None)))
        page.resize(width, height)
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        page.call("Emulation.setEmulatedMedia", features=features)
        page.call("Page.navigate", url=url)
        return page

    def close(self) -> None:
        """End it in order: what it leaves behind would fail the test."""
        with self._open:
            self._whole.send(json.dumps({"id": 2, "method": "Browser.close"}))
            self.running.wait()
        until(lambda: not self.running.left(), "the end of all processes of the browser")


class Page:
    """One page. `errors`: what its console has had of errors, and requests that its policy has refused."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self.errors: list[str] = []
        for domain in "Page", "Runtime", "Log":
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result; what comes meanwhile is noted."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(PATIENCE))
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page; a promise is waited for."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        until(lambda: self.evaluate(f"Boolean({expression})"), expression)

    def resize(self, width: int, height: int) -> None:
        """Give the page a size in pixels; a narrow one is a phone's."""
        mobile = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def picture(self, *, whole: bool = False) -> bytes:
        """Return a picture of it as a PNG; `whole`: also what would have to be scrolled to."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])

    def _note(self, message: dict[str, Any]) -> None:
        details = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(str(details["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if details["type"] in ("error", "assert"):
                self.errors.append(str(details["args"]))
            case "Log.entryAdded" if details["entry"]["level"] == "error":
                self.errors.append(f"{details['entry']['text']} {details['entry'].get('url', '')}")
