"""The resource of a worker: the variable that it gets, and what becomes of a provider that the import has made."""

from __future__ import annotations

import os

import pytest

from prefork._worker.telemetry.attributes import encoded, joined, of_daemon, of_worker
from small_mold import run

HOST = os.uname().nodename


def test_attributes_without_any_name_the_daemon_and_the_slot() -> None:
    assert of_worker("shop", "web/0", 3, {}) == {
        "service.name": "shop",
        "service.instance.id": f"{HOST}/shop/web/0",
        "prefork.slot": "web/0",
        "prefork.generation": "3",
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"OTEL_SERVICE_NAME": "till"}, f"service.instance.id={HOST}/shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=till"}, f"service.name=till,service.instance.id={HOST}/shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=pod-7"}, "service.instance.id=pod-7,service.name=shop"),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": " a = b%2C c , wrong"},
            f"a=b%2C c,service.name=shop,service.instance.id={HOST}/shop",
        ),
    ],
)
def test_attributes_that_the_operator_gives_stay(given: dict[str, str], expected: str) -> None:
    assert joined(of_daemon("shop", given)) == expected


def test_given_instance_is_extended_by_the_slot() -> None:
    """Or the metrics of all workers would be of one writer."""
    attributes = of_worker("shop", "web/0", 3, {"OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=pod-7"})
    assert attributes["service.instance.id"] == "pod-7/web/0"


def test_value_with_separators_is_encoded() -> None:
    assert encoded("a,b=c%d é") == "a%2Cb%3Dc%25d%20%C3%A9"


SDK = """
from opentelemetry import trace, metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from prefork._mold.stock.telemetry import shared
from prefork._worker.telemetry.resource import describe
"""


@pytest.mark.processes
def test_provider_of_the_import_takes_the_slot() -> None:
    pytest.importorskip("opentelemetry.sdk")
    provider = """
metrics.set_meter_provider(MeterProvider())
trace.set_tracer_provider(TracerProvider(resource=Resource.create({"service.name": "till", "team": "cats"})))
describe("shop", "web/0", 3)
attributes = trace.get_tracer_provider().resource.attributes
print(attributes["service.name"], attributes["service.instance.id"], attributes["team"], *shared())
print(metrics.get_meter_provider()._sdk_config.resource.attributes["service.name"])
"""
    assert run(SDK + provider) == [f"till {HOST}/shop/web/0 cats", "shop"]


@pytest.mark.processes
def test_provider_of_an_old_sdk_is_named_in_the_log() -> None:
    pytest.importorskip("opentelemetry.sdk")
    provider = """
del TracerProvider._update_resource
trace.set_tracer_provider(TracerProvider())
print(*shared())
"""
    [line] = run(SDK + provider)
    assert line.startswith("the import has made OpenTelemetry's TracerProvider, and all workers send with its resource")
