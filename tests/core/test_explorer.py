"""Every order of events for small plans; the states that were seen are printed (or run core.explorer)."""

from __future__ import annotations

import pytest

from core.explorer import SCENARIOS, Scenario, explore


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_order_of_events_keeps_the_invariants(scenario: Scenario) -> None:
    seen = explore(scenario)
    print(f"{scenario.name}: {seen.states} distinct states, {seen.steps} steps, {seen.rests} let rest")
    assert seen.states > 500
    assert seen.rests > 50
