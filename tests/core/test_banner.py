"""What a daemon says of itself when it starts."""

from __future__ import annotations

import pytest

from prefork._core.plan import Entry, Kind, Listener, Plan, Pool
from prefork._report.banner import Start, Welcome, clickable, opening, waiting_for

START = Start("shop", 4711, "shop:app", "3.11.7", "prefork.toml")
ENTRIES = tuple(Entry(f"web/{number}", "web", "") for number in range(4))
HTTP = (Listener("http", "tcp://*:0"), Listener("http-2", "unix:///run/shop.sock"))
PLAN = Plan(ENTRIES, (Kind("web"),), (Pool("web", tuple(e.key for e in ENTRIES), 2),), HTTP)
ABOUT = {"application": "ASGI application (fastapi.FastAPI)", "server": "uvicorn 0.54.0", "web": "http"}


def test_in_a_log_it_is_one_line_each() -> None:
    assert opening(START, "line") == (
        "prefork: shop: starting (pid 4711, Python 3.11.7, shop:app, options from prefork.toml)"
    )
    welcome = Welcome("shop", "line", 1.0)
    welcome.planned(PLAN, ABOUT)
    assert welcome.text(["tcp://0.0.0.0:8000", "unix:///run/shop.sock"], 2.0) == (
        "prefork: shop: ready (ASGI application (fastapi.FastAPI) on uvicorn 0.54.0, workers: 2 web, "
        "http://0.0.0.0:8000, unix:/run/shop.sock)"
    )


def test_on_a_terminal_it_is_a_block() -> None:
    lines = opening(START, "plain").splitlines()
    assert lines[1:] == [
        "  shop by prefork",
        "",
        "  target      shop:app",
        "  pid         4711",
        "  python      3.11.7",
        "  options     prefork.toml",
    ]
    welcome = Welcome("shop", "plain", 1.0)
    welcome.planned(PLAN, ABOUT)
    assert welcome.text(["tcp://127.0.0.1:8000", "tcp://[::1]:8000"], 1.5).splitlines() == [
        "  application ASGI application (fastapi.FastAPI)",
        "  server      uvicorn 0.54.0",
        "  workers     2 web",
        "  listening   http://127.0.0.1:8000",
        "              http://[::1]:8000",
        "",
        "  ready in 0.5 s   Ctrl-C stops, SIGHUP reloads",
    ]


def test_banner_with_agent_names_its_address_apart() -> None:
    kinds = (Kind("web"), Kind("agent", auxiliary=True))
    listeners = (Listener("agent", "tcp://127.0.0.1:9464", auxiliary=True), HTTP[0])
    welcome = Welcome("shop", "line", 1.0)
    welcome.planned(Plan((ENTRIES[0], Entry("agent/0", "agent", "")), kinds, (), listeners), ABOUT)
    assert welcome.text(["tcp://127.0.0.1:9464", "tcp://127.0.0.1:8000"], 2.0).endswith(
        "workers: 1 web, http://127.0.0.1:8000, agent: http://127.0.0.1:9464)"
    )


def test_colours_change_no_word() -> None:
    coloured = opening(START, "colour")
    assert "\033[1mshop\033[0m" in coloured
    assert opening(START, "plain") == "".join(part.partition("m")[2] for part in f"\033[m{coloured}".split("\033["))


def test_banner_of_a_daemon_has_kinds_and_addresses() -> None:
    plan = Plan((*ENTRIES[:2], Entry("scheduler", "scheduler", "")), (Kind("web"), Kind("scheduler")))
    welcome = Welcome("chat", "line", 0.0)
    welcome.planned(plan, {})
    said = welcome.text(["tcp://127.0.0.1:9"], 0.0)
    assert said == "prefork: chat: ready (Daemon, workers: 2 web, 1 scheduler, tcp://127.0.0.1:9)"


def test_first_plan_is_welcomed_once() -> None:
    welcome = Welcome("shop", "plain", 0.0)
    assert not welcome.due
    assert welcome.shows_addresses
    welcome.planned(PLAN, ABOUT)
    welcome.planned(Plan(ENTRIES, (Kind("web"),)), {})
    assert welcome.listeners == PLAN.listeners
    assert welcome.due
    welcome.text([], 0.0)
    assert not welcome.due
    assert not welcome.shows_addresses


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("tcp://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("tcp://[::1]:8000", "http://[::1]:8000"),
        ("tcp://0.0.0.0:80", "http://0.0.0.0:80"),
        ("unix:///run/shop.sock", "unix:/run/shop.sock"),
        ("unix://@shop", "unix:@shop"),
        ("fd://3", "fd://3"),
    ],
)
def test_addresses_are_what_a_person_can_open(address: str, shown: str) -> None:
    assert clickable(address) == shown


@pytest.mark.parametrize(
    ("living", "text"),
    [
        ({}, ""),
        ({"web/0": 0}, "waiting for 1 worker (web/0)"),
        ({"web/0": 0, "web/1": 3}, "waiting for 3 requests (web/1)"),
        ({f"web/{n}": 1 for n in range(7)}, "waiting for 7 requests (web/0, web/1, web/2, web/3, web/4 and 2 more)"),
    ],
)
def test_a_stop_names_what_it_waits_for(living: dict[str, int], text: str) -> None:
    assert waiting_for(living) == text
