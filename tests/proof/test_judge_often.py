"""Every fault that a judged reload is to find, and none, twenty times each: each verdict is right, and in time."""

from __future__ import annotations

import statistics

import pytest

from judged import Judged
from support import Start, until

ROUNDS = 20
CASES = {
    "errors": (("--bake", "8", "--judge-min-requests", "1000"), 1, "more errors: web: ", 90.0),
    "slow": (("--bake", "8", "--judge-min-requests", "200"), 1, "slower: web: ", 20.0),
    "crash": (
        (
            "--bake",
            "60",
        ),
        1,
        "killed by SIGSEGV",
        30.0,
    ),
    "hang": (
        (
            "--bake",
            "60",
        ),
        1,
        "hung for ",
        30.0,
    ),
    "none": (("--bake", "8", "--judge-min-requests", "200"), 0, "done (generation ", 20.0),
    "idle": (("--bake", "4", "--judge-insufficient", "fail"), 1, "too few requests to judge: ", 16.0),
}
"""Fault -> options, exit status, what the outcome says, and seconds in which it has to come."""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", CASES)
def test_judge_is_right_in_every_round(start: Start, fault: str) -> None:
    options, expected, why, limit = CASES[fault]
    judged = Judged(start)
    wrong, times = [], []
    with judged.load(clients=1 if fault == "idle" else 16, pause=0.25 if fault == "idle" else 0.005) as load:
        for _ in range(ROUNDS):
            judged.release(fault)
            status, said, seconds = judged.command("reload", "--judge", *options)
            times.append(seconds)
            if status != expected or why not in said:
                wrong.append(said)
            until(lambda: len(judged.generations()) == 4, "all slots are served")
            load.more(4)
    spread = f"{min(times):.1f} to {max(times):.1f} s, median {statistics.median(times):.1f} s"
    print(f"{fault}: {ROUNDS - len(wrong)} of {ROUNDS} right, {spread}; the last: {said}")
    assert not wrong
    assert max(times) < limit, f"{max(times)} s"
