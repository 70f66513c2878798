"""Providers of OpenTelemetry that the import has made, and whose resource all workers would share."""

from __future__ import annotations

from collections.abc import Iterator

from ..._worker.telemetry.resource import can_update, providers


def shared() -> Iterator[str]:
    """Yield a sentence if workers cannot give these providers their own resource: the SDK is too old for it."""
    if stuck := [type(each).__name__ for each in providers() if not can_update(each)]:
        yield (
            f"the import has made OpenTelemetry's {' and '.join(stuck)}, and all workers send with its resource, as "
            "one instance, whose metrics overwrite each other: use opentelemetry-sdk 1.44 or later, or set it up in "
            "each worker, in a function of prefork.on_worker_start"
        )
