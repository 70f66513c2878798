"""How a process ended, in words."""

from __future__ import annotations

from collections.abc import Mapping


def ended(status: int, signal_names: Mapping[int, str]) -> str:
    """Say how a process ended. `status` is an exit code, or the negated number of the signal that killed it."""
    if status >= 0:
        return f"exited {status}"
    return f"was killed by {signal_names.get(-status, f'signal {-status}')}"
