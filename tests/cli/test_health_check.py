"""`prefork status --check` where every slot is served and none could be replaced."""

from __future__ import annotations

from typing import Any

import pytest

from prefork.cli.status import _check

SLOT = {"key": "web/0", "serving": True, "exchanging": False, "state": "ready", "last_exit": ""}
MOLD = {"generation": 3, "state": "ready", "spares": 1, "failures": 0, "failed_forks": 0, "reason": ""}
FORKS = {"spares": 0, "failed_forks": 2, "reason": "could not fork: EAGAIN"}
STARTS = {"spares": 0, "failures": 2, "state": "paused", "reason": "importing the application failed: ImportError"}


@pytest.mark.parametrize(
    ("mold", "text"),
    [
        ({}, ""),
        ({"failures": 2}, ""),  # It runs again.
        ({"failed_forks": 1, "spares": 0}, ""),  # A busy machine: the next one is under way.
        ({**FORKS, "spares": 1}, ""),
        (FORKS, "cannot fork (2 failures in a row, the last one: could not fork: EAGAIN)"),
        (
            STARTS,
            "cannot be started (2 failures in a row, the last one: importing the application failed: ImportError)",
        ),
    ],
)
def test_check_fails_where_no_worker_could_be_replaced(
    mold: dict[str, Any], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    view = {"slots": [SLOT], "molds": [{**MOLD, **mold}], "generation": 3, "stopping": False}
    assert _check(view, as_json=False) == (1 if text else 0)
    said = "".join(capsys.readouterr()).strip()
    whole = f"mold of generation 3 {text}: workers that end are not replaced"
    assert said == (whole if text else "1 slot served")
