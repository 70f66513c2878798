"""The outcome of an upgrade: the client that waits for it gets it, and so does the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..actions import Announce
from .orders import CancelUpgrade

if TYPE_CHECKING:
    from ..state import State


def ended(state: State, ok: bool, text: str) -> None:
    """End the upgrade that is under way."""
    upgrading, state.upgrading = state.upgrading, None
    assert upgrading is not None
    state.report(text, about=Announce("upgrade", "done" if ok else "failed", state.generation, text=text))
    state.reply([upgrading.asker] if upgrading.asker else [], ok, text)


def cancelled(state: State, why: str) -> None:
    """End an upgrade that something else has overtaken."""
    if state.upgrading is not None and state.upgrading.replacing:
        state.actions.append(CancelUpgrade())
    ended(state, False, f"upgrade: cancelled: {why}")
