"""Typed values as plain data, and back."""

from __future__ import annotations

import json
from collections import deque
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork._core.plan import Listener
from prefork._options.records import DaemonOptions, KindOptions
from prefork._records.members import field
from prefork._records.plain import Descriptor, NotPlain, made, plain
from prefork._records.record import mutable, record


@record
class Leaf:
    number: int


@record
class Other:
    text: str = ""


@mutable
class Tree:
    name: Literal["oak", "ash"]
    leaves: dict[int, Leaf] = field(default_factory=dict)
    either: Leaf | Other | None = None
    data: bytes = b""
    open: Descriptor | None = None
    recent: deque[str] = field(default_factory=deque)
    pairs: dict[tuple[str, str], frozenset[int]] = field(default_factory=dict)
    limit: int | tuple[int, int] = 0


TREE = Tree(
    "ash",
    {3: Leaf(7)},
    Other("x"),
    bytes(range(256)),
    Descriptor(5),
    deque(["a"]),
    {("a", "b"): frozenset({1})},
    (1, 2),
)


def again(shape: Any, value: Any) -> Any:
    return made(shape, json.loads(json.dumps(plain(shape, value))))


def test_value_comes_back_through_json() -> None:
    assert again(Tree, TREE) == TREE


def test_descriptors_are_collected() -> None:
    found: list[int] = []
    plain(Tree, TREE, found)
    assert found == [5]


@pytest.mark.parametrize(
    "value", [KindOptions(limits={"core": (1, 2), "nofile": 9}), DaemonOptions(allow_shared=("a",))]
)
def test_options_come_back(value: Any) -> None:
    assert again(type(value), value) == value


def test_listener_is_a_key() -> None:
    value = {Listener("http", "tcp://127.0.0.1:80"): 3}
    assert again(dict[Listener, int], value) == value


def test_missing_member_keeps_default_unknown_is_ignored() -> None:
    assert made(Tree, {"name": "oak", "newer": 1}) == Tree("oak")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({}, "Tree lacks name"),
        ([], r"'\[\]' is not Tree"),
        ({"name": "elm"}, "Tree: 'elm' is not"),
        ({"name": "oak", "leaves": [[3, {"number": True}]]}, "Tree: Leaf: 'True' is not int"),
        ({"name": "oak", "either": ["Twig", {}]}, "Twig"),
        ({"name": "oak", "limit": "x"}, "'x' is not"),
        ({"name": "oak", "leaves": [1]}, "Tree: "),
        ({"name": "oak", "pairs": [[["a", "b"], [[]]]]}, "Tree"),
    ],
)
def test_other_data_is_refused_with_its_place(data: Any, why: str) -> None:
    with pytest.raises(NotPlain, match=why):
        made(Tree, data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "leaves", "either", "open"]), inner)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_data_is_read_or_refused(data: Any) -> None:
    try:
        made(Tree, data)
    except NotPlain:
        pass
