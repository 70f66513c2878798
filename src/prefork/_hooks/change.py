"""The change that the hook which is running now is part of. Workers import this, too, and so it is small."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .decider.reload import Change

changing: ContextVar[Change] = ContextVar("changing")
"""Unset outside of hooks, and so outside of masters."""
