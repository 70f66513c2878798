"""A server in a test: its start, what it serves, and what it leaves."""

from __future__ import annotations

import os
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefork import CommandFailedError, UsageError
from prefork.testing import DeadlineError, EndedError, Server, StartFailedError, live_server
from support import PATIENCE, Start, children, gone
from testing import applications


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with live_server(applications.asgi, workers=2) as server:
        yield server


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize("name", ["wsgi", "site"])
def test_application_object_is_served(name: str) -> None:
    with live_server(getattr(applications, name), workers=1) as server:
        assert get(server.url)


def test_daemon_object_gets_its_listeners() -> None:
    with live_server(applications.daemon) as server:
        with socket.create_connection(server.address("web"), PATIENCE) as client:
            assert client.recv(100).startswith(b"talk/")
        assert Path(server.path("admin")).is_socket()
        with pytest.raises(UsageError, match="no listener tcp; there are: web, admin"):
            server.address("tcp")


def test_import_error_is_the_failure(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def app(environ, start_response): ...\n1 / 0\n")
    with pytest.raises(StartFailedError, match=r'(?s)broken\.py", line 2.*1 / 0.*ZeroDivisionError'):
        start_and_end(f"{tmp_path}/broken.py:app")


def start_and_end(target: object) -> None:
    with live_server(target):
        pass


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"worker": 2}, "there is no option worker: did you mean workers?"),
        ({"bind": "127.0.0.1:0"}, "the option bind cannot be given: the test binds"),
        ({"workers": "many"}, "workers: "),
        ({"timeout": 0}, "timeout: 0 is not a number of seconds"),
        ({"listeners": {"http": "sctp"}}, "the listener http is 'sctp': give tcp, udp or unix"),
    ],
)
def test_wrong_options_are_refused_in_words(options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError) as raised, live_server("shop:app", **options):  # type: ignore[arg-type]
        pass
    assert text in str(raised.value)


def test_local_function_is_refused_with_the_way_out() -> None:
    def app() -> None: ...

    with pytest.raises(UsageError, match=r"defined inside a function: it is in no module .* 'module:name'"):
        start_and_end(app)


def test_killed_worker_is_replaced(server: Server) -> None:
    pid = server.kill("web/1")
    server.wait_for("2/2 ready")
    assert pid != next(slot["pid"] for slot in server.status()["slots"] if slot["key"] == "web/1")
    assert [event["pid"] for event in server.events("ended", slot="web/1")] == [pid]


def test_hung_worker_is_noticed_and_resumed(server: Server) -> None:
    pid = server.hang("web/0")
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    assert server.resume("web/0") == pid
    assert get(server.url)


def test_reload_and_scale_return_the_outcome(server: Server) -> None:
    generation = server.status()["generation"]
    assert "done" in server.reload()
    server.wait_for(f"generation {generation + 1}, settled")
    server.scale(3)
    server.wait_for("web 3/3 ready, web/2 ready")
    server.scale(2)
    server.wait_for(lambda status: len(status["slots"]) == 2)


def test_upgrade_keeps_master_and_workers(server: Server) -> None:
    before = server.pid, [slot["pid"] for slot in server.status()["slots"]]
    server.upgrade()
    assert (server.pid, [slot["pid"] for slot in server.status()["slots"]]) == before
    assert get(server.url)


def test_late_condition_names_the_state(server: Server) -> None:
    with pytest.raises(DeadlineError, match=r"9/9 ready.*not within 0.05 s; the daemon has 2/2 ready, generation \d"):
        server.wait_for("9/9 ready", timeout=0.05)


def test_wrong_verbs_are_refused_in_words(server: Server) -> None:
    with pytest.raises(UsageError, match="there is no slot web/7; there are: web/0, web/1"):
        server.kill("web/7")
    with pytest.raises(UsageError, match="'ready soon' is no condition"):
        server.wait_for("ready soon")
    with pytest.raises(CommandFailedError):
        server.restart("web/7")


def test_stop_returns_the_exit_status() -> None:
    with live_server(applications.wsgi, workers=1) as server:
        assert server.stop() == 0
        with pytest.raises(EndedError, match="has ended with exit status 0"):
            server.reload()


def test_daemon_that_ends_fails_the_test() -> None:
    with pytest.raises(EndedError, match="ended in the test with exit status 0"):
        end_by(signal.SIGTERM, 0)


def test_killed_master_leaves_no_worker() -> None:
    with pytest.raises(EndedError, match="exit status 137"):
        end_by(signal.SIGKILL, 128 + signal.SIGKILL)


def test_killed_guard_ends_the_daemon() -> None:
    with pytest.raises(EndedError, match="exit status -9"):
        kill_guard()


def kill_guard() -> None:
    with live_server(applications.wsgi, workers=1) as server:
        pids = [server.pid, *(slot["pid"] or 0 for slot in server.status()["slots"])]
        (guard,) = [pid for pid in children(os.getpid()) if server.pid in children(pid)]
        os.kill(guard, signal.SIGKILL)
        assert all(gone(pid) for pid in pids)


def end_by(number: int, status: int) -> None:
    with live_server(applications.wsgi, workers=1) as server:
        pids = [server.pid, *(slot["pid"] or 0 for slot in server.status()["slots"])]
        os.kill(pids[0], number)
        assert server._process.wait(PATIENCE) == status
        assert all(gone(pid, 0) for pid in pids)
        with pytest.raises(EndedError, match=f"has ended with exit status {status}"):
            server.wait_for("1/1 ready")


TEST = """
import os, sys
from prefork.testing import live_server

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]

if __name__ == "__main__":
    with live_server(app, workers=2) as server:
        print("directory", server.directory, "guard", os.getpid(), flush=True)
        sys.stdin.read()
"""


def test_killed_test_process_leaves_nothing(start: Start) -> None:
    reader, writer = os.pipe()
    running = start.program(TEST, stdin=reader)
    directory = running.expect(r"^directory (\S+)")[1]
    guards = children(running.pid)
    masters = [child for guard in guards for child in children(guard)]
    running.send(signal.SIGKILL)
    running.wait()
    assert all(gone(pid) for pid in [*guards, *masters])
    assert not running.left()
    assert sys.platform == "linux"
    assert not Path(directory).parent.exists()
    os.close(reader)
    os.close(writer)
