"""What workers will miss: threads of the import, and a resource of their own for its telemetry."""

from __future__ import annotations

import sys

from ..._worker import sharing
from . import threads
from .origins import Origins


def missing(origins: Origins) -> list[str]:
    """Return a sentence for each thing that workers will miss; `sharing` has what their exits must know of it."""
    sentences = list(threads.lost(origins))
    sharing.native_threads, sharing.lost_threads = threads.count_native(), bool(sentences)
    if "opentelemetry" in sys.modules:
        from .telemetry import shared

        sentences += shared()
    return sentences
