"""The application's lifespan: the same by every server, and one that fails to start is never ready."""

from __future__ import annotations

import pytest

from adapters.served import ASGI, Adapted
from support import Start

FAILING = [*((server, "raises") for server in ASGI), (ASGI[0], "fails")]


@pytest.mark.parametrize(("server", "how"), FAILING, ids=["-".join([*server, how]) for server, how in FAILING])
def test_who_fails_to_start_is_not_ready_and_says_why(start: Start, server: tuple[str, str], how: str) -> None:
    adapted = Adapted(start, server, lifespan_test=how)
    adapted.running.expect("no database today", "err")
    assert adapted.running.wait() == 1
    assert "no database today" in "\n".join(adapted.running.err[-3:])
    assert not [line for line in adapted.running.out if line.startswith("ready")]
    frames = [line for line in adapted.running.err if line.lstrip().startswith("File ")]
    assert all("program.py" in line or "prefork/adapters/" in line for line in frames), "no one else's"
    assert (how == "raises") == ("program.py" in frames[-1])


@pytest.mark.parametrize("server", ASGI, ids="-".join)
def test_who_knows_no_lifespan_is_served_without(start: Start, server: tuple[str, str]) -> None:
    adapted = Adapted(start, server, lifespan_test="unknown")
    adapted.ready()
    assert adapted.get("/")[0] == 200
    assert adapted.stop() == 0
    assert not any("lifespan" in line for line in adapted.running.err)


def test_who_has_to_know_it_and_does_not_is_not_ready(start: Start) -> None:
    adapted = Adapted(start, ASGI[0], lifespan_test="unknown", lifespan="on")
    assert adapted.running.wait() == 1
    assert "RuntimeError: what is a lifespan?" in adapted.running.err[-1]


def test_who_is_not_asked_is_not_told(start: Start) -> None:
    adapted = Adapted(start, ASGI[0], lifespan_test="raises", lifespan="off")
    adapted.ready()
    assert adapted.get("/")[0] == 200
    assert adapted.stop() == 0
