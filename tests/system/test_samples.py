"""The three samples, as a newcomer would run them."""

from __future__ import annotations

import os
import signal
import socket
import sys
import urllib.request
from pathlib import Path

import pytest

from support import PROOF, Spied, Start, by_id, command_line, gone, until


def fetch(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
        body: bytes = answer.read()
        return body


def test_simple(start: Start) -> None:
    simple = start.sample("prefork-sample-simple")
    simple.expect(f"^Please send SIGHUP to {simple.pid} to relaunch a worker$")
    for _ in range(3):
        simple.expect("""^"Hello. I'm a worker."$""")
        simple.send(signal.SIGHUP)
    assert simple.stop() == 0
    assert simple.err == []


def test_various_workers(start: Start) -> None:
    various = start.sample("prefork-sample-various-workers")
    various.expect(f"^Please send SIGHUP to {various.pid} to relaunch the workers$")
    for _ in range(2):
        various.expect_each(["^Hello. I'm a reader.$", "^Hello. I'm a writer. Hello. I'm a writer.$"])
        various.send(signal.SIGHUP)
    assert various.stop() == 0
    assert various.err == []


def test_web_shows_and_keeps_its_workers(start: Start) -> None:
    web, port = start.web()
    assert fetch(port) == b"hello\n"
    before = by_id(web)
    assert sorted(before) == ["id=0", "id=1", "id=2", "id=3"]
    for pid in before.values():
        _python, *command, last = command_line(pid)
        assert command[:2] == ["-X", "faulthandler"]
        assert command[2].endswith("prefork-sample-web")
        assert last.startswith("id=")
        assert len(command) == 3
    in_master, *in_workers = (Path(f"/proc/{pid}/maps").read_text() for pid in (web.pid, *before.values()))
    assert "httptools" not in in_master, "the extension module that uvicorn's parser is"
    assert any("httptools" in maps for maps in in_workers)
    os.kill(before["id=2"], signal.SIGKILL)
    died = rf"^prefork: web/2: killed by SIGKILL(?: before it decoded its context)? \(pid {before['id=2']}\)"
    web.expect(died, "err")
    until(lambda: by_id(web).keys() == before.keys(), "four workers again")
    after = by_id(web)
    assert after.pop("id=2") != before.pop("id=2")
    assert after == before
    assert fetch(port) == b"hello\n"
    assert web.stop() == 0
    assert len(web.err) == 1


def test_web_starts_new_workers_before_it_ends_the_old(start: Start, spied: Spied) -> None:
    web, port = start.web("-w", "2", env=spied.environment)
    fetch(port)
    old = list(by_id(web).values())
    web.send(signal.SIGHUP)
    for pid in old:
        assert gone(pid)
    until(lambda: by_id(web).keys() == {"id=0", "id=1"}, "two new workers")
    new = list(by_id(web).values())
    assert not set(new) & set(old)
    assert fetch(port) == b"hello\n"
    assert web.stop() == 0
    notes = [note for note in spied.notes(web.pid) if not note.startswith("reaped")]
    started, told = [f"started {pid}" for pid in (*old, *new)], [f"sent 15 to {pid}" for pid in old]
    assert notes[:4] == started, "in the order of their ids"
    assert sorted(note for note in notes[4:8] if note.startswith("sent 15")) == sorted(told)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", ["simple", "various-workers", "web"])
def test_told_to_end_it_exits_0_and_leaves_nothing(start: Start, name: str, number: int) -> None:
    sample = start.sample(f"prefork-sample-{name}", *(["-p", "0"] if name == "web" else []))
    sample.expect("Please send|Serving")
    assert sample.stop(number) == 0
    assert sample.err == []


def test_web_starts_without_a_standard_input(start: Start) -> None:
    """The first socket that it opens would be descriptor 0 then, which cannot be handed over."""
    sample = "from prefork.samples.web import main; main()"
    web = start.command("sh", "-c", 'exec "$0" -c "$1" -p 0 -w 1 <&-', sys.executable, sample)
    port = int(web.expect(r"http://127.0.0.1:(\d+)/")[1])
    assert fetch(port) == b"hello\n"
    assert web.stop() == 0


def test_web_helps(start: Start) -> None:
    web = start.sample("prefork-sample-web", "--help")
    assert web.wait() == 0
    text = " ".join(web.out)
    for word in ("--host", "-p", "--port", "-w", "--workers", "11111", "default: 4"):
        assert word in text


BAD = [
    (["-w", "0"], "'0' is not a number of workers"),
    (["-p", "70000"], "'70000' is not a port"),
    (["--host", "203.0.113.1"], "cannot listen on 203.0.113.1"),
    (["--hots", "localhost"], "--hots"),
    (["-w", "-1"], "'-1' is not a number of workers"),
    (["-w", "x"], "'x' is not a number of workers"),
    (["-w", ""], "'' is not a number of workers"),
    (["-p", "-1"], "'-1' is not a port"),
    (["-p", "http"], "'http' is not a port"),
    (["--host", "nowhere.invalid"], "cannot listen on nowhere.invalid"),
]


@pytest.mark.parametrize(("arguments", "reason"), BAD if PROOF else BAD[:4])
def test_web_refuses_bad_input(start: Start, arguments: list[str], reason: str) -> None:
    web = start.sample("prefork-sample-web", *arguments)
    assert web.wait() == 2
    assert reason in web.err[-1]
    assert not any("Traceback" in line for line in web.err)
    assert web.left() == []


def test_web_says_where_its_server_is_to_be_had(start: Start) -> None:
    source = "import sys; sys.modules['uvicorn'] = None; from prefork.samples.web import main; main()"
    web = start.command(sys.executable, "-c", source, "-p", "0")
    assert web.wait() == 2
    assert len(web.err) == 1
    assert web.err[0].endswith("needs uvicorn, which is not installed: pip install 'prefork[samples]'")


def test_web_refuses_a_port_in_use(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        web = start.sample("prefork-sample-web", "-p", str(port))
        assert web.wait() == 2
        assert web.err[-1].startswith(f"prefork-sample-web: cannot listen on 127.0.0.1:{port}: Address already in use")
        assert web.left() == []
