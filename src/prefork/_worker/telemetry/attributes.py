"""The resource of a worker, as OTEL_RESOURCE_ATTRIBUTES has it.

The format is that of the specification's environment variables: `key=value` with commas between, values in percent
encoding. https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable
"""

from __future__ import annotations

import os
import string
from collections.abc import Mapping

INSTANCE = "service.instance.id"
NAME = "service.name"
SLOT, GENERATION = OF_WORKER = ("prefork.slot", "prefork.generation")
VARIABLE = "OTEL_RESOURCE_ATTRIBUTES"
_NAME_VARIABLE = "OTEL_SERVICE_NAME"

_PLAIN = frozenset((string.ascii_letters + string.digits + "-._~/:@+").encode())


def of_daemon(daemon: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of a daemon, encoded: those that the operator gives, and ours where none is given.

    The instance is `HOST/DAEMON`. It is the one that the operator gives where there is one.
    """
    pairs = [each.strip().partition("=") for each in environ.get(VARIABLE, "").split(",") if "=" in each]
    given = {name.strip(): value.strip() for name, _, value in pairs}
    if not environ.get(_NAME_VARIABLE):
        given.setdefault(NAME, encoded(daemon))
    given.setdefault(INSTANCE, encoded(f"{os.uname().nodename}/{daemon}"))
    return given


def of_worker(daemon: str, key: str, generation: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of the worker of a slot, encoded: its instance is the daemon's, and the slot's key.

    So the instances of a daemon are as many as its slots, however often their workers are replaced.
    """
    attributes = of_daemon(daemon, environ)
    attributes[INSTANCE] += f"/{encoded(key)}"
    return {**attributes, SLOT: encoded(key), GENERATION: str(generation)}


def encoded(text: str) -> str:
    """Return a value in percent encoding."""
    return "".join(chr(each) if each in _PLAIN else f"%{each:02X}" for each in text.encode(errors="replace"))


def joined(attributes: Mapping[str, str]) -> str:
    """Return the value of the variable."""
    return ",".join(f"{name}={value}" for name, value in attributes.items())
