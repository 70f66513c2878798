"""What `prefork profile` makes of stacks: the tree of calls, the shares, and a page that loads nothing."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from prefork._client.profile import checked
from prefork._errors import CommandFailedError
from prefork._reader.sampling.fitting import OTHERS, fitting
from prefork._reader.sampling.threads import Figures, standing
from prefork.cli._profile.page import about, page
from prefork.cli._profile.tree import Function, parsed, shares, tree

STACKS = {
    "web/0;serve (/v/site-packages/uvicorn/run.py:3);app (/srv/app.py:10);hot (/srv/app.py:4)": 60,
    "web/0;serve (/v/site-packages/uvicorn/run.py:3);app (/srv/app.py:10);hot (/srv/app.py:5)": 10,
    "web/0;serve (/v/site-packages/uvicorn/run.py:3);app (/srv/app.py:11);app (/srv/app.py:11)": 20,
    "web/0;serve (/v/site-packages/uvicorn/run.py:4)": 10,
}


def profile(stacks: dict[str, int], **more: Any) -> dict[str, Any]:
    workers = {"web/0": {"pid": 7, "samples": 1000, "missed": 2}}
    return {"by": "Python 3.15", "complete": True, "seconds": 10.0, "workers": workers, "stacks": stacks, **more}


def test_tree_adds_up_and_knows_the_hottest_line() -> None:
    root = tree(STACKS)
    (slot,) = root.calls.values()
    (serve,) = slot.calls.values()
    (app,) = serve.calls.values()
    hot = app.calls[Function("hot", "/srv/app.py")]
    assert (root.samples, serve.samples, serve.alone, app.samples, app.alone) == (100, 100, 10, 90, 0)
    assert (hot.samples, hot.alone, hot.line) == (70, 70, 4)


def test_recursion_counts_a_sample_once() -> None:
    found = {share.function.name: (share.alone, share.with_calls) for share in shares(STACKS)}
    assert found == {"hot": (70, 70), "app": (20, 90), "serve": (10, 100)}


@pytest.mark.parametrize(
    ("frame", "kind", "place"),
    [
        ("f (/srv/app.py:1)", "own", "/srv/app.py"),
        ("f (/v/lib/python3.15/site-packages/fastapi/a.py:1)", "library", "fastapi/a.py"),
        ("f (/usr/lib/python3.15/json/encoder.py:1)", "standard", "/usr/lib/python3.15/json/encoder.py"),
        ("f (<frozen importlib._bootstrap>:1)", "standard", "<frozen importlib._bootstrap>"),
        ("f (/v/lib/python3.15/site-packages/prefork/adapters/asgi.py:1)", "server", "prefork/adapters/asgi.py"),
        ("web/0", "none", ""),
    ],
)
def test_functions_are_told_apart_by_their_place(frame: str, kind: str, place: str) -> None:
    function, _ = parsed(frame)
    assert (function.kind, function.place) == (kind, place)


def test_page_loads_nothing_and_obeys_no_name() -> None:
    evil = {"web/0;</script><script>alert(1)</script> (/srv/<b>.py:1)": 5}
    text = page(profile(evil), "web/0 <now>")
    assert not re.search(r"https?://|src=|href=|@import|url\(", text)
    assert "<script>alert" not in text
    assert text.count("<script>") == text.count("</script>") == 1
    assert "web/0 &lt;now&gt;" in text


def test_page_has_the_data_of_the_tree() -> None:
    text = page(profile(STACKS), "web/0")
    match = re.search(r"^const root = (.*), total = ", text, re.MULTILINE)
    assert match is not None
    name, _, _, samples, *_, calls = json.loads(match[1])
    assert (name, samples, calls[0][0]) == ("all", 100, "web/0")
    assert "<td>70.0 %</td><td>70.0 %</td><td>hot (/srv/app.py)</td>" in text


def test_profile_says_how_it_was_taken() -> None:
    text = "web/0, 10 s, 1000 samples by Python 3.15, 100 with a thread that runs; 2 could not be read"
    assert about(profile(STACKS)) == text
    assert "3.14 reads no callers beyond a call from C" in about(profile(STACKS, complete=False))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"stacks": {}}', b"[" * 100_000])
def test_what_is_no_profile_is_refused(data: bytes) -> None:
    with pytest.raises(CommandFailedError, match="no profile"):
        checked(data)


def test_profile_with_counts_that_are_none_is_refused() -> None:
    for count in (0, -1, "1", None, True, 1.5):
        with pytest.raises(CommandFailedError, match="no profile"):
            checked(json.dumps(profile({"a": count})).encode())  # type: ignore[dict-item]
    assert checked(json.dumps(profile(STACKS)).encode())["stacks"] == STACKS


def test_reason_of_a_reader_is_passed_on() -> None:
    with pytest.raises(CommandFailedError, match="no profile: no permission"):
        checked(b'{"error": "no permission"}')


BEFORE = Figures(ran=1_000, waited=500, turns=7)


@pytest.mark.parametrize(
    ("now", "ran"),
    [
        (BEFORE, None),
        (Figures(2_000, 500, 7), True),
        (Figures(2_000, 9_000_000, 8), False),
        (Figures(2_000, 5_000, 8), True),
        (Figures(0, 0, 0), True),
        (None, True),
    ],
)
def test_thread_ran_if_its_figures_say_so(now: Figures | None, ran: bool | None) -> None:
    assert BEFORE.ran_until(now) is ran


def test_thread_whose_processor_the_reader_took_ran() -> None:
    assert BEFORE.ran_until(Figures(2_000, 400_000, 8), ours=500_000)


@pytest.mark.parametrize(
    ("state", "turns", "could_run", "runs"),
    [
        ("R", 12, True, True),
        ("R", 11, True, False),
        ("S", 11, False, False),
        ("R", 0, True, True),
        ("S", 0, False, False),
    ],
)
def test_thread_runs_if_it_got_a_processor_once_more(state: str, turns: int, could_run: bool, runs: bool) -> None:
    status = f"Name:\tR\nState:\t{state} (what)\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t4\nx:\ty\n"
    found = standing(status, Figures(1_000, 500, turns))
    assert (found.could_run, found.runs) == (could_run, runs)


def test_thread_without_figures_runs_if_it_could() -> None:
    assert standing("State:\tR (running)\n", None).runs
    assert not standing("State:\tS (sleeping)\n", None).runs
    assert not standing("", None).could_run, "it has ended"


@pytest.mark.parametrize(
    "letter", ["f", "\u00e9", "\U0001f600", '"'], ids=["ascii", "two bytes", "four bytes", "escaped"]
)
def test_profile_keeps_the_most_frequent_stacks_that_fit(letter: str) -> None:
    deep = {f"web/0;{letter * 3000} (/srv/app.py:{number})": 1 + number for number in range(1000)}
    kept = fitting(deep, 1 << 20)
    others = kept.pop(OTHERS)
    assert len(json.dumps(profile({**kept, OTHERS: others}))) < 1 << 20
    assert list(kept.items()) == sorted(deep.items(), key=lambda item: -item[1])[: len(kept)]
    assert kept
    assert others == sum(deep.values()) - sum(kept.values())


def test_profile_that_fits_is_whole() -> None:
    assert fitting(STACKS, 1 << 20) == STACKS
