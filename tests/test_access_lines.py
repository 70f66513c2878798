"""The access log's lines and templates, and what its output makes of a pipe, a full disk and a reader that has gone."""

from __future__ import annotations

import json
import os
import re
import resource
import select
import time
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from prefork._errors import SystemFailure
from prefork._options.listed.access import FIELDS, FORMATS, OWN_FIELDS, access_format
from prefork.adapters.web.access.exchange import Exchange
from prefork.adapters.web.access.fields import Clock
from prefork.adapters.web.access.lines import Lines
from prefork.adapters.web.access.output import Output
from prefork.adapters.web.access.source import Asgi, Source, Wsgi

HOSTILE = 'a"b\\c\n127.0.0.1 - admin \x1b[2J\x7f\x9b1A\r\u00fc'
SCOPE: dict[str, Any] = {
    "type": "http", "http_version": "1.1", "method": "GET", "path": "/ü", "raw_path": b"/%C3%BC",
    "query_string": b"q=1", "client": ("192.0.2.1", 4711),
    "headers": [
        (b"authorization", b"Basic YWxpY2U6cHc="), (b"referer", b"http://shop/"), (b"user-agent", b"curl/8"),
        (b"x-request-id", b"abc"), (b"x-hostile", HOSTILE.encode("latin-1")),
    ],
}  # fmt: skip
ENVIRON: dict[str, Any] = {
    "SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/%C3%BC",
    "QUERY_STRING": "q=1", "REMOTE_ADDR": "192.0.2.1", "HTTP_AUTHORIZATION": "Basic YWxpY2U6cHc=",
    "HTTP_REFERER": "http://shop/", "HTTP_USER_AGENT": "curl/8", "HTTP_X_REQUEST_ID": "abc", "HTTP_X_HOSTILE": HOSTILE,
}  # fmt: skip
BOTH = pytest.mark.parametrize(("source", "request_"), [(Asgi, SCOPE), (Wsgi, ENVIRON)], ids=["asgi", "wsgi"])


def line(source: Source, request: dict[str, Any], format_: str, most: int | None = None, **answer: Any) -> str:
    """Return the line about an answer of 1,234 bytes and 1.5 seconds."""
    lines = Lines(format_, source, "web/0", most)
    exchange = Exchange({**request})
    lines.begun(exchange)
    for name, value in {"status": 200, "size": 1234, "seconds": 1.5, **answer}.items():
        setattr(exchange, name, value)
    text = lines.line(exchange).decode("ascii")
    assert text.endswith("\n")
    return text[:-1]


@BOTH
def test_common_and_combined_lines_are_those_of_apache(source: Source, request_: dict[str, Any]) -> None:
    start = r'192\.0\.2\.1 - alice \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /%C3%BC\?q=1 HTTP/1\.1" '
    assert re.fullmatch(start + "200 1234", line(source, request_, "common"))
    assert re.fullmatch(start + '304 - "http://shop/" "curl/8"', line(source, request_, "combined", status=304, size=0))


@BOTH
def test_template_has_gunicorns_fields_and_ours(source: Source, request_: dict[str, Any]) -> None:
    given = "%(h)s|%(l)s|%(u)s|%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(B)s|%(b)s|%(f)s|%(a)s|%(T)s|%(M)s|%(D)s|%(L)s|%(p)s"
    given += "|%(worker)s|%(request_id)s|%({X-Request-ID}i)s|%({Content-Type}o)s|%({none}i)s|100%%"
    expected = "192.0.2.1|-|alice|GET|/%C3%BC|q=1|HTTP/1.1|200|1234|1234|http://shop/|curl/8|1|1500|1500000|1.500000|"
    expected += f"<{os.getpid()}>|web/0|abc|abc|text/plain|-|100%"
    assert line(source, request_, given, headers=[(b"content-type", b"text/plain")]) == expected


@BOTH
def test_json_line_has_every_field_typed(source: Source, request_: dict[str, Any]) -> None:
    found = json.loads(line(source, request_, "json", size=None))
    assert found.pop("time") > 1e9
    assert found == {
        "client": "192.0.2.1", "user": "alice", "method": "GET", "path": "/%C3%BC", "query": "q=1", "bytes": None,
        "protocol": "HTTP/1.1", "status": 200, "duration": 1.5, "referrer": "http://shop/", "agent": "curl/8",
        "worker": "web/0", "request_id": "abc",
    }  # fmt: skip


@BOTH
def test_client_text_cannot_end_a_line_or_a_quotation(source: Source, request_: dict[str, Any]) -> None:
    text = line(source, request_, '"%({x-hostile}i)s"')
    assert text == r'"a\x22b\x5Cc\x0A127.0.0.1 - admin \x1B[2J\x7F\x9B1A\x0D\xFC"'
    hostile = {**request_, "query_string": HOSTILE.encode("latin-1"), "QUERY_STRING": HOSTILE}
    text = line(source, hostile, "json")
    assert text.isprintable()
    assert json.loads(text)["query"].startswith('a"b\\c\n127.0.0.1')


@BOTH
def test_request_id_is_made_unless_the_clients_is_fit(source: Source, request_: dict[str, Any]) -> None:
    for unfit in "", "two words", "x" * 129, "tab\t", "\u00fc":
        headers = [*request_.get("headers", ())[:-2], (b"x-request-id", unfit.encode("latin-1"))]
        exchange = Exchange({**request_, "headers": headers, "HTTP_X_REQUEST_ID": unfit})
        Lines("json", source, "web/0", None).begun(exchange)
        assert re.fullmatch(r"[0-9a-f]{32}", exchange.id or "")
        found = source.header("X-Request-ID")(Exchange(exchange.source))
        assert found == exchange.id, "the application finds the same"


def test_request_without_the_field_is_left_as_it_is() -> None:
    exchange = Exchange(dict(ENVIRON, HTTP_X_REQUEST_ID=""))
    Lines("combined", Wsgi, "web/0", None).begun(exchange)
    assert exchange.source["HTTP_X_REQUEST_ID"] == ""


@BOTH
@pytest.mark.parametrize("format_", ["combined", "json", "%({x-hostile}i)s" * 600])
def test_line_that_is_too_long_is_cut_in_clients_text(source: Source, request_: dict[str, Any], format_: str) -> None:
    long = {**request_, "query_string": b"\xff" * 8000, "QUERY_STRING": "\xff" * 8000}
    long["headers"] = [*request_.get("headers", ())[:-3], (b"user-agent", b"u" * 8000), (b"x-hostile", b"x" * 30)]
    long |= {"HTTP_USER_AGENT": "u" * 8000, "HTTP_X_HOSTILE": "x" * 30}
    text = line(source, long, format_, select.PIPE_BUF)
    assert 1000 < len(text) < select.PIPE_BUF
    if format_ == "json":
        assert json.loads(text)["query"].endswith("...")
    if format_ == "combined":
        assert re.search(r'\.\.\." 200 1234 "http://shop/" "u+\.\.\."$', text)


def test_time_is_english_and_has_the_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        context.setenv("TZ", "America/St_Johns")
        time.tzset()
        assert Clock().at(1_760_000_000) == "[09/Oct/2025:06:23:20 -0230]"
    time.tzset()


@pytest.mark.parametrize("good", [*FORMATS, "%(h)s %%", "%({x-forwarded-for}i)s", "%({x.y}o)s"])
def test_format_with_known_fields_is_taken(good: str) -> None:
    assert access_format(good) == good


@pytest.mark.parametrize("bad", ["%(x)s", "%h", "%(h)", "100%", "%({x}e)s", "%({a b}i)s", "%(Worker)s %(h)s"])
def test_unknown_field_is_refused_with_the_known_ones(bad: str) -> None:
    with pytest.raises(ValueError, match="is no field") as refused:
        access_format(bad)
    assert all(f"%({name})s" in str(refused.value) for name in (*FIELDS, *OWN_FIELDS))


@pytest.mark.parametrize("bad", ["plain", "%(h)s\n%(s)s", "apache"])
def test_template_is_one_line_with_fields(bad: str) -> None:
    with pytest.raises(ValueError, match="is not one"):
        access_format(bad)


class Written:
    """An output, and what it has lost."""

    def __init__(self, path: str | Path) -> None:
        self.lost: list[tuple[int, str | None]] = []
        self.turn = 0
        self.output = Output(str(path), lambda: self.turn, lambda count, why: self.lost.append((count, why.strerror)))

    def write(self, *lines: bytes) -> bool:
        return self.output.write(deque(lines))

    def close(self) -> None:
        os.close(self.output.descriptor)


def test_file_gets_a_batch_and_is_opened_again_on_demand(tmp_path: Path) -> None:
    written = Written(tmp_path / "log")
    assert written.write(b"one\n", b"x" * 8000 + b"\n")
    (tmp_path / "log").rename(tmp_path / "log.1")
    assert not written.output.must_reopen
    written.turn = 7
    assert written.output.must_reopen
    written.output.reopen()
    assert written.write(b"two\n")
    assert (tmp_path / "log.1").read_bytes() == b"one\n" + b"x" * 8000 + b"\n"
    assert ((tmp_path / "log").read_bytes(), written.output.most) == (b"two\n", None)
    (tmp_path / "log").unlink()
    (tmp_path / "log").mkdir()
    with pytest.raises(SystemFailure, match="Is a directory"):
        written.output.reopen()
    assert written.write(b"three\n"), "into the one that is open"
    written.close()


def test_full_disk_loses_lines_and_raises_nothing() -> None:
    written = Written("/dev/full")
    assert written.write(b"one\n", b"two\n")
    assert written.lost == [(2, "No space left on device")]
    written.close()


def test_file_that_was_full_goes_on_with_a_line_of_its_own(tmp_path: Path) -> None:
    written = Written(tmp_path / "log")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, hard))
    try:
        written.write(b"one\n", b"two\n", b"three\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    written.write(b"four\n")
    assert (tmp_path / "log").read_bytes() == b"one\ntw\nfour\n"
    assert written.lost == [(2, "File too large")]
    written.close()


def test_stalled_pipe_takes_whole_lines_and_never_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    written = Written(tmp_path / "fifo")
    assert written.output.most == select.PIPE_BUF
    lines = deque(b"%05d " % number + b"x" * 1000 + b"\n" for number in range(200))
    sent = list(lines)
    assert not written.output.write(lines)
    assert 0 < len(lines) < 200
    got = b""
    while lines:
        got += os.read(reader, 1 << 20)
        written.output.write(lines)
    got += os.read(reader, 1 << 20)
    assert got == b"".join(sent)
    os.close(reader)
    assert written.write(b"one\n"), "no reader: it is lost, and nothing waits"
    assert written.lost == [(1, "Broken pipe")]
    written.close()
