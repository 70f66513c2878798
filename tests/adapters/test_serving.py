"""What each server does while nothing goes wrong."""

from __future__ import annotations

import json

import pytest

from adapters.served import SERVERS, Adapted, fetch
from support import Start


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_it_answers_again_and_again_on_one_connection(start: Start, server: tuple[str, str]) -> None:
    adapted = Adapted(start, server)
    pid = adapted.ready()["web/0"]
    with adapted.connection() as client:
        for _ in range(3):
            status, text, headers = fetch(client, "/")
            assert (status, text) == (200, f"{pid}\n")
            assert headers.get("connection", "keep-alive") == "keep-alive"
            assert "date" in headers
    assert adapted.stop() == 0


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_it_counts(start: Start, server: tuple[str, str]) -> None:
    adapted = Adapted(start, server)
    adapted.ready()
    assert adapted.get("/")[0] == 200
    assert adapted.get("/boom")[0] == 500
    counts = json.loads(adapted.get("/counts")[1])
    assert counts.pop("open") in (0, 1)
    assert counts == {"in_flight": 1, "requests": 2, "errors": 1, "label": "GET /counts"}
    assert adapted.stop() == 0
