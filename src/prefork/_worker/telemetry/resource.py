"""Make a worker's telemetry name the worker: the environment, and the providers that the import has set up.

The SDK reads the environment when it makes a provider, so one that the application makes in its worker needs nothing
else. One that the import has made has the mold's resource; from version 1.44 on the SDK gives it a random instance at
a fork. A spare learns its slot after its fork, so that no detector of the SDK can know it, and the SDK has no public
function that changes a provider's resource. So this calls what the SDK's own handler of forks calls; where that is
missing, the log has it (`_mold/stock/telemetry.py`). Nothing here imports OpenTelemetry.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

from .attributes import NAME, VARIABLE, joined, of_worker

if TYPE_CHECKING:
    from ..assignment import Assignment

_PROVIDERS = {
    "opentelemetry.trace": "get_tracer_provider",
    "opentelemetry.metrics": "get_meter_provider",
    "opentelemetry._logs": "get_logger_provider",
}
"""Module -> the function that returns the provider of the process."""
_SDK = "opentelemetry.sdk"
_UNKNOWN = "unknown_service"
"""How the SDK's own name of a service begins, where none is given."""


def described(daemon: str, work: Callable[[Assignment], None], assignment: Assignment) -> None:
    """Work as the worker of `daemon` that this assignment names, for all telemetry, too."""
    describe(daemon, assignment.key, assignment.generation)
    work(assignment)


def describe(daemon: str, key: str, generation: int) -> None:
    """Make this process the worker `key` of `daemon` for all telemetry that it will send."""
    attributes = of_worker(daemon, key, generation, os.environ)
    os.environ[VARIABLE] = joined(attributes)
    for provider in filter(can_update, providers()):
        try:
            _update(provider, attributes.keys())
        except Exception as error:  # Another version of the SDK may have another signature: the worker serves.
            text = f"the resource of OpenTelemetry's {type(provider).__name__} is not this worker's: {error!r}"
            print(f"{key}: {text}", file=sys.stderr)


def providers() -> Iterator[Any]:
    """Yield the SDK's providers of this process."""
    if f"{_SDK}.resources" not in sys.modules:
        return
    for module, function in _PROVIDERS.items():
        if module in sys.modules:
            provider = getattr(sys.modules[module], function)()
            if type(provider).__module__.startswith(_SDK):
                yield provider


def can_update(provider: Any) -> bool:
    """Return whether a provider of the import can take a worker's resource."""
    return hasattr(provider, "_update_resource")


def _update(provider: Any, names: Collection[str]) -> None:
    resources = sys.modules[f"{_SDK}.resources"]
    detected = resources.OTELResourceDetector().detect().attributes
    resource = getattr(provider, "resource", None) or provider._sdk_config.resource
    # The application may have named its service in code.
    named = not str(resource.attributes.get(NAME, _UNKNOWN)).startswith(_UNKNOWN)
    provider._update_resource(resources.Resource({each: detected[each] for each in names if each != NAME or not named}))
