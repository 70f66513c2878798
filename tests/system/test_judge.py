"""The judged reload of a daemon under load. All faults, twenty times each: tests/proof/test_judge_often.py."""

from __future__ import annotations

from judged import Judged
from support import Start, until

QUICK = ("reload", "--judge", "--bake", "1", "--judge-min-requests", "30")
LONG = ("reload", "--judge", "--bake", "60")


def test_judge_rolls_back_what_is_worse(start: Start) -> None:
    judged = Judged(start)
    with judged.load() as load:
        for fault, command, why in (
            ("all", QUICK, "the new workers were judged: more errors: web: "),
            ("crash", LONG, "killed by SIGSEGV"),
            ("hang", LONG, "web/0: hung for "),
        ):
            judged.release(fault)
            status, said, _ = judged.command(*command)
            assert status == 1
            assert why in said
            assert "the old code goes on serving (generation 1)" in said
            until(lambda: judged.generations() == [1] * 4, "the old generation serves in all slots")
            until(lambda: not judged.leaving(), "the end of what was rolled back, which answers what it has accepted")
            load.failures.clear()
            load.more(50)
            assert not load.failures
    assert [mold["generation"] for mold in judged.status()["molds"]] == [1]


def test_judge_lets_what_is_as_good_go_on(start: Start) -> None:
    judged = Judged(
        start,
        "--judge",
        "--bake",
        "1",
        "--judge-min-requests",
        "30",
        "--judge-insufficient",
        "fail",
        "--keep-mold",
        "60",
    )
    status, said, _ = judged.command("reload")
    assert status == 1
    assert "too few requests to judge: no worker counts any" in said
    with judged.load() as load:
        status, said, seconds = judged.command("reload")
        assert (status, load.failures) == (0, {})
    assert "reload: done (generation 3); judged: web: 0 of " in said
    assert seconds >= 1
    assert judged.generations() == [3] * 4
    judged.release("none, but it is no Python")
    status, said, _ = judged.command("back")
    assert status == 0
    assert said.startswith("back: done (generation 1)")
    assert judged.generations() == [1] * 4
