"""The public API is what was recorded, so that no change of it goes unseen; and it has types that say something."""

from __future__ import annotations

from pathlib import Path

import api

RECORDED = Path(__file__).parent / "typing" / "api.txt"
ANY = {
    "    def worker(self, context: type[WorkerContext], **options: Any) -> Callable[[F], F]",
    "def default_settings() -> PreforkSettings[Any]",
    "Accepted = tuple[socket.socket, Any]",
}
"""Options that `_with_options` gives their types; a configuration of any type; and the address of a peer, which is Any
in the standard library.
"""


def test_api_is_the_recorded_one() -> None:
    """After a change that is meant: `python tests/api.py > tests/typing/api.txt`, and a line in CHANGELOG.md."""
    assert api.record() == RECORDED.read_text()


def test_api_has_no_any_but_where_it_is_meant() -> None:
    found = {line for line in RECORDED.read_text().splitlines() if "Any" in line}
    assert found == ANY
