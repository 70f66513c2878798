"""The simulated daemon: scripts in, decisions of the real core out."""

from __future__ import annotations

import pytest

from prefork import UsageError
from prefork.testing import simulate
from prefork.testing.simulated import (
    Times,
    crash,
    crash_loop,
    drains,
    hang,
    heal,
    import_fails,
    ready_after,
    reload,
    replan,
    restart,
    scale,
    stop,
)

FOUR = {"slots": ["web/0", "web/1", "web/2", "web/3"], "pools": [{"pool": "web", "size": 4, "min": 1, "max": 6}]}


def test_reload_never_serves_fewer_than_all() -> None:
    found = simulate(FOUR, [reload(at=10)])
    assert found.least_served() == 4
    (reply,) = found.replies
    assert (reply.name, reply.ok) == ("reload", True)
    assert 10 < reply.at < 13
    assert found.status["generation"] == 2
    assert found.events[0]["event"] == "started"


def test_broken_import_keeps_the_old_workers() -> None:
    found = simulate(
        FOUR, [import_fails("SyntaxError: x", at=5), reload(at=10), import_fails(None, at=20), reload(at=21)]
    )
    assert [reply.ok for reply in found.replies] == [False, True]
    assert "SyntaxError: x" in found.replies[0].text
    assert found.least_served() == 4


def test_unready_worker_rolls_a_reload_back() -> None:
    plan = {**FOUR, "kinds": [{"name": "web", "start_timeout": 5.0}]}
    found = simulate(plan, [ready_after("web", None, at=9), reload(at=10)], until=60)
    assert [reply.ok for reply in found.replies] == [False]
    assert found.status["generation"] == 1
    assert found.least_served() == 4


def test_crash_is_an_outage_of_a_moment() -> None:
    found = simulate(FOUR, [crash("web/1", at=30)])
    ((begun, ended),) = found.outages("web/1")
    assert begun == 30
    assert ended - begun < 0.2
    assert found.least_served() == 3
    assert found.served(40) == FOUR["slots"]
    assert found.outages("web/0") == []


def test_crash_loop_is_throttled_until_it_heals() -> None:
    found = simulate(
        {"slots": ["jobs/0"]},
        [crash_loop("jobs", at=5, after=0.01), crash("jobs/0", at=6), heal("jobs", at=60)],
        until=120,
    )
    ends = [event["time"] for event in found.events if event["event"] == "ended" and event["time"] < 60]
    assert 5 < len(ends) < 60
    assert found.served(120) == ["jobs/0"]


def test_hang_is_killed_and_replaced() -> None:
    found = simulate(FOUR, [hang("web/2", at=20)])
    assert [event["slot"] for event in found.events if event["event"] == "hung"] == ["web/2"]
    assert "killed by the master" in next(event["reason"] for event in found.events if event["event"] == "ended")
    assert found.served(60) == FOUR["slots"]


def test_singleton_is_never_twice() -> None:
    plan = {"slots": ["cron/0"], "kinds": [{"name": "cron", "replace": "old-first", "drain_timeout": 3.0}]}
    found = simulate(plan, [drains("cron", None, at=5), reload(at=10)])
    (gap,) = found.outages("cron/0")
    assert gap[1] - gap[0] > 3
    living = 0
    for event in found.events:
        living += (event["event"] == "ordered") - (event["event"] == "ended")
        assert living <= 1


def test_scale_restart_and_replan_change_what_they_name() -> None:
    found = simulate(
        FOUR,
        [scale(6, at=10), scale("auto", at=15), restart("web/1", at=20), replan(at=30, changed=["web/3"])],
    )
    assert [reply.ok for reply in found.replies] == [True] * 4
    assert len(found.served(14)) == 6
    assert found.served(18) == FOUR["slots"]
    later = [event["slot"] for event in found.events if event["event"] == "ordered" and event["time"] > 19]
    assert later == ["web/1", "web/3"]


def test_new_plan_comes_with_the_reload() -> None:
    found = simulate(FOUR, [reload(at=10, plan={"slots": ["web/0", "mail/0"]})])
    assert sorted(found.served(20)) == ["mail/0", "web/0"]
    assert found.served(20, "mail") == ["mail/0"]


def test_stop_ends_it_with_its_status() -> None:
    assert simulate(FOUR, [stop(at=5)]).exit_status == 0
    stuck = {"slots": ["web/0"], "kinds": [{"name": "web", "drain_timeout": 2.0}]}
    assert simulate(stuck, [drains("web", None), stop(at=5)]).exit_status == 4
    assert simulate(FOUR, [import_fails()]).exit_status == 1


def test_same_script_is_the_same_story() -> None:
    script = [crash("web/1", at=3), crash("web/1", at=4), reload(at=8)]
    one, other = (simulate(FOUR, script, seed=7, times=Times(ready=0.3)) for _ in range(2))
    assert one == other
    assert one.most_processes() > 4


@pytest.mark.parametrize(
    ("plan", "script", "text"),
    [
        (
            {"slots": ["web/0", "web/0"], "pools": []},
            [crash("web/9", at=1)],
            "crash('web/9', at=1): the slot has no process",
        ),
        ({"slots": ["web/0"]}, [reload(at=99)], "reload(at=99) is not within 0 and 60 s"),
        ({"slots": [7]}, [], "the slots of a plan are texts such as 'web/0'"),
        ({"slots": [], "pools": [{"pool": "web", "size": 1, "min": 2}]}, [], "the pool web is of size 1, outside 2..1"),
    ],
)
def test_wrong_scripts_are_refused_in_words(plan: dict[str, object], script: list[object], text: str) -> None:
    with pytest.raises(UsageError) as raised:
        simulate(plan, script)  # type: ignore[arg-type]
    assert text in str(raised.value)
