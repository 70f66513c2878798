"""The public API is what was recorded, so that no change of it goes unseen; and it has types that say something."""

from __future__ import annotations

from pathlib import Path

import api

RECORDED = Path(__file__).parent / "typing" / "api.txt"
ANY = {
    "    def hello(self) -> dict[str, Any]",
    "    def status(self, timeout: float | None=PATIENCE) -> dict[str, Any]",
    "    def explain(self, slot: str) -> dict[str, Any]",
    "    def stacks(self, slot: str | None=None, force: bool=False) -> list[dict[str, Any]]",
    "    def profile(self, which: str, seconds: float=10, rate: int=100, idle: bool=False) -> dict[str, Any]",
    "    def kept_profile(self, number: int) -> dict[str, Any]",
    "    def crashes(self) -> list[dict[str, Any]]",
    "    def crash(self, number: int) -> dict[str, Any]",
    "    def plan(self, of: Literal['reload', 'replan']='reload', each: Each | None=None) -> dict[str, Any]",
    "Event = dict[str, Any]",
    "    def worker(self, context: type[WorkerContext], **options: Any) -> Callable[[F], F]",
    "def default_settings() -> PreforkSettings[Any]",
    "Accepted = tuple[socket.socket, Any]",
}
"""Members of the control protocol, to which any release may add; options that `_with_options` gives their types; a
configuration of any type; and the address of a peer, which is Any in the standard library.
"""


def test_api_is_the_recorded_one() -> None:
    """After a change that is meant: `python tests/api.py > tests/typing/api.txt`, and a line in CHANGELOG.md."""
    assert api.record() == RECORDED.read_text()


def test_api_has_no_any_but_where_it_is_meant() -> None:
    found = {line for line in RECORDED.read_text().splitlines() if "Any" in line}
    assert found == ANY
