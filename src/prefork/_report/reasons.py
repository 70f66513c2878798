"""How a process ended, in words."""

from __future__ import annotations

from collections.abc import Mapping


def ended(status: int | None, signal_names: Mapping[int, str]) -> str:
    """Say how a process ended. `status` is an exit code, or the negated number of the signal that killed it."""
    if status is None:
        return "is no child of the master, or somebody else has waited for it"
    if status >= 0:
        return f"exited {status}"
    return f"was killed by {signal_names.get(-status, f'signal {-status}')}"
