"""What uvicorn's protocols see of a request beside its application: bytes of its body, and a client that goes away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..._worker.activity import Activity


def counts_bodies(protocol: type[Any]) -> bool:
    """Return whether a protocol shows the bytes of a request's body: that on httptools does."""
    return hasattr(protocol, "on_body")


def measured(protocol: type[Any], activity: Activity) -> type[Any]:
    """Return a subclass that counts them; its transport is to be a `Together`."""

    lost = protocol.connection_lost

    class Measured(protocol):  # type: ignore[misc]
        def connection_lost(self, exc: Exception | None) -> None:
            # Where this side has closed first, it has cut the response itself.
            if self.cycle is not None and not self.cycle.response_complete and not self.transport.closed:
                activity.disconnected()
            lost(self, exc)

    if not counts_bodies(protocol):
        return Measured

    class MeasuredBodies(Measured):
        on_body = activity.receiving(protocol.on_body)

    return MeasuredBodies
