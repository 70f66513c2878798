"""A worker's identity as text."""

from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork import UsageError
from prefork._wire.keys import LONGEST, key_of, kind_in, kind_of


class Colour(Enum):
    RED = 1
    BLUE = 2


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Web", "web"),
        ("WebWorker", "web-worker"),
        ("HTTPServer", "http-server"),
        ("Worker2", "worker2"),
        ("Web2Worker", "web2-worker"),
        ("web_worker", "web-worker"),
        ("Web_Worker", "web-worker"),
        ("_Private", "private"),
        ("ABC", "abc"),
    ],
)
def test_a_class_name_becomes_a_kind(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_values_are_told_apart_by_their_text() -> None:
    assert key_of("web", []) == "web"
    assert key_of("web", [0, True, "a b", Colour.RED]) == "web/0/true/a%20b/RED"
    assert key_of("web", ["x/y", "z"]) != key_of("web", ["x", "y/z"])
    assert key_of("web", ["50%"]) == "web/50%25"
    assert len({key_of("web", [text]) for text in ("é", "\udcc3\udca9", "\ud800")}) == 3


def test_a_key_that_is_too_long_is_refused_with_its_length() -> None:
    assert len(key_of("k", ["x" * (LONGEST - 2)])) == LONGEST
    with pytest.raises(UsageError, match=f"{LONGEST + 1} bytes"):
        key_of("k", ["x" * (LONGEST - 1)])


texts = st.lists(st.text(max_size=5), min_size=1, max_size=3)


@given(texts, texts)
def test_equal_keys_mean_equal_values(one: list[str], other: list[str]) -> None:
    try:
        same = key_of("k", one) == key_of("k", other)
    except UsageError:
        return
    assert same == (one == other)


@pytest.mark.parametrize("kind", ["web", "a/b", "100 %", "ü", "%41"])
def test_a_key_begins_with_its_kind(kind: str) -> None:
    assert kind_in(key_of(kind, [0, "x/y"])) == kind
    assert kind_in(key_of(kind, [])) == kind
