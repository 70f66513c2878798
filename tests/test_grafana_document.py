"""The dashboard and the expressions of the alert rules: of today's metrics. `system/test_alerts.py` has promtool."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from grafana import alerts, dashboard, expressions
from prefork._agent.families.listed import SUBJECTS

DOCS = Path(__file__).parent.parent / "docs"
LABELS = {family.shown: set(family.labels) for _, families in SUBJECTS for family in families}


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_grafana", DOCS / "make_grafana.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_dashboard_is_current(maker: ModuleType) -> None:
    assert maker.DASHBOARD.read_text() == maker.written(), "run: python docs/make_grafana.py"


def test_dashboard_has_fifteen_panels_in_five_rows() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    assert {(place["x"], place["y"]) for place in places} == {(8 * x, 8 * y) for x in range(3) for y in range(5)}
    assert all(panel["description"].endswith(".") for panel in dashboard()["panels"])


@pytest.mark.parametrize("expression", [*expressions(), *alerts().values()])
def test_metrics_and_labels_of_an_expression_exist(expression: str) -> None:
    found = re.findall(r"\b(prefork_\w+)(?:\{([^}]*)\})?", expression)
    assert found
    for name, selectors in found:
        shown = name if name in LABELS else re.sub("_(bucket|sum|count)$", "", name)
        assert shown in LABELS
        assert set(re.findall(r"(\w+)[=!]", selectors)) <= LABELS[shown] | {"job", "instance"}
    grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
    assert grouped <= set.union(*LABELS.values()) | {"job", "instance", "le"}
