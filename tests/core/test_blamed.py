"""The request that most crashed workers had, in the log's folded lines and in lists of crashes."""

from __future__ import annotations

import pytest

from prefork._report.folding import BURST, WINDOW, Folding, blamed


@pytest.mark.parametrize(
    ("requests", "crashes", "text"),
    [
        (["GET /crash"] * 14 + ["GET /"], 15, "GET /crash: 14 of 15 crashes"),
        (["GET /crash"], 1, ""),
        (["GET /a", "GET /b"], 2, ""),
        ([""] * 5, 5, ""),
        (["GET /crash"] * 3 + [""] * 7, 10, ""),
    ],
)
def test_request_of_at_least_half_of_the_crashes_is_named(requests: list[str], crashes: int, text: str) -> None:
    assert blamed(requests, crashes) == text


def test_folded_line_names_the_request() -> None:
    folding = Folding()
    for number in range(BURST + 10):
        assert folding.passes("ended", f"web/{number % 4}", "web/0: killed by SIGSEGV", False, 0.0) is (number < BURST)
        folding.attribute("ended", "web/0", "GET /crash" if number else "GET /")
    (line,) = folding.due(WINDOW)
    assert line.text == (
        "web: 4 workers failed 15 times in 10 s (GET /crash: 14 of 15 crashes); last: web/0: killed by SIGSEGV"
    )
