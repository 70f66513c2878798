"""Which daemon a command is for, decided without a process."""

from __future__ import annotations

from typing import Any

import pytest

from prefork._client.choice import Configured, Wish, choose
from prefork._client.search import Found
from prefork._errors import NotRunningError, SystemFailure, UsageError


def daemon(name: str, directory: str | None = None, **more: Any) -> Found:
    return Found(**{"place": f"/run/prefork/{name}", "name": name, "answers": True, "directory": directory, **more})


A = daemon("app", "/srv/a", target="app:app")
B = daemon("app", "/srv/b", target="app:app", place="/tmp/prefork-7/app")
UNIT = daemon("till", place="/run/prefork/unit")
TILL = daemon("till", "/srv/c", target="jobs.py")


@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize(
    ("wish", "found", "chosen"),
    [
        (Wish("/srv/a"), [A, TILL], A),
        (Wish("/srv/a"), [A, B], A),
        (Wish("/srv/b"), [A, B], B),
        (Wish("/srv/b", configured=Configured("app", "app:app")), [A, B], B),
        (Wish("/srv/z", "till"), [A, TILL], TILL),
        (Wish("/srv/a", "till"), [A, TILL], TILL),
        (Wish("/srv/b", "app"), [A, B], B),
        (Wish(None, "till"), [A, TILL], TILL),
        (Wish("/srv/a", "till"), [daemon("till", "/srv/a", place="/run/prefork/pretender"), TILL], TILL),
        (Wish("/srv/a", "unit"), [UNIT, TILL], UNIT),
    ],
)
def test_daemon_of_this_directory_or_name_is_chosen(reads: bool, wish: Wish, found: list[Found], chosen: Found) -> None:
    assert choose(Wish(wish.here, wish.name, wish.configured, reads), found) is chosen


def test_link_that_was_switched_keeps_its_daemon() -> None:
    """Started behind `current` when it led to the first release, asked for when it leads to the second."""
    behind = daemon("current", "/srv/shop/current")
    physical = daemon("2", "/srv/shop/releases/2", here=True)
    assert choose(Wish("/srv/shop/current"), [behind, physical]) is behind
    assert choose(Wish("/srv/shop/releases/2"), [daemon("current", "/srv/shop/current", here=True)]).name == "current"


def test_another_name_for_the_configured_target_is_found() -> None:
    safe = daemon("safe", "/srv/a", target="shop:app")
    hooks = daemon("greeters", "/srv/a", target="greeters.py")
    assert choose(Wish("/srv/a", configured=Configured("shop", "shop:app")), [safe, hooks]) is safe


@pytest.mark.parametrize("here", ["/srv/z", None])
def test_only_daemon_of_all_may_be_read_but_not_changed(here: str | None) -> None:
    assert choose(Wish(here, reads=True), [A]) is A
    with pytest.raises(UsageError, match=r"running: app in /srv/a; name the daemon that you mean, as in `-n app`"):
        choose(Wish(here), [A])
    with pytest.raises(UsageError):
        choose(Wish(here, reads=True), [A, TILL])


def refusal(kind: type[Exception], wish: Wish, *found: Found) -> str:
    with pytest.raises(kind) as refused:
        choose(wish, found)
    assert type(refused.value) is kind
    return str(refused.value)


def test_refusals_say_which_daemons_there_are_and_what_to_type() -> None:
    assert refusal(NotRunningError, Wish("/srv/z")) == "no daemon is running; start one with `prefork run`"
    assert refusal(UsageError, Wish("/srv/z"), A, TILL) == (
        "no daemon runs in this directory (/srv/z); running: app in /srv/a, till in /srv/c; "
        "name the daemon that you mean, as in `-n app`"
    )
    two = daemon("one", "/srv/a"), daemon("two", "/srv/a")
    assert refusal(UsageError, Wish("/srv/a"), *two) == (
        "several daemons run in this directory: one in /srv/a, two in /srv/a; choose one with -n NAME"
    )
    assert refusal(UsageError, Wish("/srv/z", "app"), A, B) == (
        "several daemons are called app: app in /srv/a (-n /run/prefork/app), app in /srv/b (-n /tmp/prefork-7/app); "
        "choose one by -n DIRECTORY"
    )
    assert refusal(NotRunningError, Wish("/srv/a", "apt"), A) == "no daemon apt is running; running: app in /srv/a"


def test_configured_daemon_that_does_not_run_means_no_other() -> None:
    configured = Configured("app", "app:app")
    assert refusal(NotRunningError, Wish("/srv/b", configured=configured), TILL).startswith("no daemon app is running;")
    for reads in False, True:
        text = refusal(UsageError, Wish("/srv/b", configured=configured, reads=reads), A)
        assert text.startswith("no daemon app is running in this directory (/srv/b); running: app in /srv/a;")
    neighbour = daemon("greeters", "/srv/b", target="greeters.py")
    assert "running: greeters in /srv/b" in refusal(UsageError, Wish("/srv/b", configured=configured), neighbour)


def test_daemon_that_may_not_be_asked_is_refused_by_name_only() -> None:
    closed = daemon("till", refused=True)
    assert "no permission" in refusal(SystemFailure, Wish("/srv/a", "till"), closed)
    assert refusal(NotRunningError, Wish("/srv/a"), closed) == "no daemon is running; start one with `prefork run`"


def test_many_daemons_are_not_all_listed() -> None:
    many = [daemon(f"shop{number}", "/srv/a") for number in range(20)]
    assert "shop7 in /srv/a and 12 more (`prefork list`)" in refusal(UsageError, Wish("/srv/z"), *many)


def test_escape_sequences_are_not_printed() -> None:
    assert "\x1b" not in refusal(UsageError, Wish("/srv/z"), daemon("a\x1b[2J", "/srv/\x1b"), A)
