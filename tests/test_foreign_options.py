"""Options of gunicorn, uvicorn and others lead to ours, and `prefork.run()` takes what `prefork run` takes."""

from __future__ import annotations

from typing import Any

import pytest

from prefork._launch.served.foreign import PLACES, advice
from prefork._launch.served.run import RunKeywords, _checked
from prefork._options.table import BY_NAME, OPTIONS
from prefork.cli import main

FLAGS = {option.flag for option in OPTIONS} | {option.short for option in OPTIONS}


@pytest.mark.parametrize("name", PLACES)
def test_what_takes_its_place_exists(name: str) -> None:
    ours, text = PLACES[name]
    assert name not in FLAGS, "it is an option of ours: remove it from the table"
    assert ours or text
    if ours.startswith("prefork "):
        assert main.get_command(main.make_context("prefork", ["check"]), ours.split()[1]) is not None
    elif ours:
        assert ours in FLAGS


def test_options_of_the_usual_servers_are_known() -> None:
    usual = "--host --port -k --worker-class --factory --daemon --certfile --ssl-keyfile --timeout --graceful-timeout"
    assert not [name for name in f"{usual} --access-logfile --pid --chdir -D -t -e".split() if not advice(name)]


def test_run_has_a_keyword_for_each_option() -> None:
    assert set(RunKeywords.__annotations__) == set(BY_NAME) - {"target"}


def test_run_takes_values_as_a_command_line_does() -> None:
    given = _checked({"target": "shop:app", "workers": 4, "bind": ":8000", "max_memory": "1GB", "server": None})
    assert given == {"target": "shop:app", "workers": 4, "bind": ["tcp://*:8000"], "max_memory": 2**30}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"host": "::1"}, "prefork.run(): there is no option host: here it is bind; as in 127.0.0.1:8000"),
        ({"worker": 2}, "prefork.run(): there is no option worker: did you mean workers?"),
        ({"workers": 0}, "prefork.run(): workers: 0 is not a whole number, 1 or more, or 'auto'"),
        ({"target": print}, "as in 'shop:app', since workers import it themselves"),
    ],
)
def test_run_refuses_by_a_sentence(options: dict[str, Any], why: str) -> None:
    with pytest.raises(Exception, match="prefork") as refused:
        _checked(options)
    assert why in str(refused.value)
