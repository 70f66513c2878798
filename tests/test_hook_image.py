"""How a worker is to be started, as a context says it: checked by name before there is a process."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from prefork import UsageError
from prefork._hooks.image import terms, variables, words
from prefork._linux.terms import Terms


def test_words_are_kept_in_their_order() -> None:
    assert words("args", ["b", "a", ""]) == ("b", "a", "")
    assert words("args", ()) == ()


@pytest.mark.parametrize("given", ["text", None, 1, ["a", 1], [None], {"a"}, b"ab", ["a\0b"]])
def test_words_that_no_command_line_can_hold_are_refused(given: Any) -> None:
    with pytest.raises(UsageError, match=r"^args: .*(is not a list of strings|contains a NUL byte)"):
        words("args", given)


def test_variables_may_be_any_mapping() -> None:
    assert variables("env", MappingProxyType({"A": "", "b": "=x"})) == {"A": "", "b": "=x"}


@pytest.mark.parametrize("given", [None, ["A=1"], {"A": 1}, {1: "a"}, {"A": None}, {"": "a"}, {"A=B": ""}, {"A": "\0"}])
def test_variables_that_no_environment_can_hold_are_refused(given: Any) -> None:
    with pytest.raises(UsageError, match=r"^env: "):
        variables("env", given)


def test_terms_are_processors_and_a_nice_value() -> None:
    assert terms("launch()", {0}, None) == Terms(affinity=(0,))
    assert terms("launch()", (), -20) == Terms(nice=-20)


@pytest.mark.parametrize("affinity", [None, 1, "01", ["0"], [True], {0: 1}, [0.0]])
def test_affinity_that_names_no_processors_is_refused(affinity: Any) -> None:
    with pytest.raises(UsageError, match=r"^launch\(\): affinity="):
        terms("launch()", affinity, None)


@pytest.mark.parametrize("nice", [20, -21, "5", 1.0, True])
def test_nice_value_out_of_range_is_refused(nice: Any) -> None:
    with pytest.raises(UsageError, match=r"^launch\(\): nice="):
        terms("launch()", (), nice)
