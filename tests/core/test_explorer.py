"""Orders of events for small plans; the number of states seen is printed. `make proof` tries every order."""

from __future__ import annotations

import pytest

from core.explorer import LARGE, SCENARIOS, Scenario, explore
from support import PROOF, chance_seed

MOST = None if PROOF else 600


@pytest.mark.timeout(3600 if PROOF else 120)
@pytest.mark.parametrize("scenario", SCENARIOS + LARGE if PROOF else SCENARIOS, ids=lambda scenario: scenario.name)
def test_orders_of_events_keep_the_invariants(scenario: Scenario) -> None:
    seen = explore(scenario, most=MOST, seed=chance_seed(), every=(7, 2) if PROOF else (7, 10))
    print(f"{scenario.name}: {seen.states} distinct states, {seen.steps} steps, {seen.rests} let rest")
    assert seen.states > 500
    assert seen.rests > 50
