"""Orders of events for small plans; the number of states seen is printed. `make proof` tries every order."""

from __future__ import annotations

import pytest

from core.explorer import LARGE, SCENARIOS, Scenario, explore
from support import PROOF, chance_seed

MOST = None if PROOF else 600
USUAL, SELDOM = (7, 2 if PROOF else 10), (61, 2)
"""How often a state is let rest, and a resting master killed and upgraded: seldom where states are millions."""


@pytest.mark.timeout(4 * 3600 if PROOF else 120)
@pytest.mark.parametrize("scenario", SCENARIOS + LARGE if PROOF else SCENARIOS, ids=lambda scenario: scenario.name)
def test_orders_of_events_keep_the_invariants(scenario: Scenario) -> None:
    seen = explore(scenario, most=MOST, seed=chance_seed(), every=SELDOM if scenario in LARGE else USUAL)
    print(f"{scenario.name}: {seen.states} distinct states, {seen.steps} steps, {seen.rests} let rest")
    assert seen.states > 500
    assert seen.rests > 50
