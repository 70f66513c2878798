from __future__ import annotations

import pytest

from prefork._core.plan import Entry, Kind, Listener, Plan, Pool, Spec
from prefork._core.slot import LIFE, pause

A, B = Entry("web/0", "web", "x"), Entry("web/1", "web", "x")
WEB = Kind("web")


@pytest.mark.parametrize(
    ("plan", "name"),
    [
        (Plan((A, A), (WEB,)), "web/0"),
        (Plan((A,), (WEB, WEB)), "web"),
        (Plan((A,), ()), "web"),
        (Plan((A,), (WEB,), (Pool("web", ("web/9",), 1),)), "web/9"),
        (Plan((A,), (WEB,), (Pool("web", ("web/0",), 2),)), "0..1"),
        (Plan((A, B), (WEB,), (Pool("web", ("web/0",), 1), Pool("web", ("web/1",), 1))), "web"),
        (Plan((A,), (WEB,), (), (Listener("http", "a"), Listener("http", "b"))), "http"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused_by_name(plan: Plan, name: str) -> None:
    assert name in (plan.refusal() or "")


def test_pool_override_stays_within_its_limits() -> None:
    plan = Plan((A, B), (WEB,), (Pool("web", ("web/0", "web/1"), 1, minimum=1),))
    assert plan.refusal() is None
    assert list(plan.wanted({})) == ["web/0"]
    assert list(plan.wanted({"web": 9})) == ["web/0", "web/1"]
    assert list(plan.wanted({"web": 0})) == ["web/0"]


def test_every_phase_of_a_process_leads_to_its_end() -> None:
    """Whatever a process is in, it can be killed, and what it is killed into can be killed again."""
    for phase, turns in LIFE.items():
        assert turns["kill"] == "killed", phase
        assert set(turns.values()) <= set(LIFE)


def test_the_pause_is_bounded_however_long_it_goes_on() -> None:
    spec = Spec(backoff_first=0.1, backoff_max=30, jitter=0.5)
    assert pause(spec, 1, 0.5) == 0
    assert pause(spec, 2, 0.0) == pytest.approx(0.1)
    assert pause(spec, 10**6, 0.0) == 30
    assert pause(spec, 10**6, 1.0) == 15
