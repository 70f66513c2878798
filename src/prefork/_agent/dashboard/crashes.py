"""The crash reports that the master writes (docs/hangs.md), where the agent may read them."""

from __future__ import annotations

from ..._errors import PreforkError
from ...client import Client, Crash

_NEAR = 10.0
"""Seconds between the end of a process and the time of its report, at most: a pid may come again."""


def crash_report(directory: str, pid: int, time: float) -> str:
    """Return the report on the process that ended then, as text; empty if there is none. Reads files."""
    try:
        found = Client(directory).crashes()
    except PreforkError:
        return ""  # They are another user's: the event alone has to do.
    near = [crash for crash in found if crash["pid"] == pid and abs(crash["time"] - time) < _NEAR]
    return _text(near[-1]) if near else ""


def _text(crash: Crash) -> str:
    usage = crash["usage"]
    parts = [f"CPU time: {usage['user']:.2f} s user, {usage['system']:.2f} s system"]
    if usage["memory"] is not None:
        parts[0] += f"; peak memory: {usage['memory'] / 1e6:.1f} MB"
    for title, text in ("error", crash["failure"]), ("hang report", crash["hang"]), ("output", crash["output"]):
        if text:
            parts += [f"\n{title}:", text if isinstance(text, str) else "\n".join(map(str, text))]
    return "\n".join(parts)
