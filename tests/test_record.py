"""Records: frozen dataclasses with slots, in all that their users see."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import pytest

from prefork._records.members import MISSING, asdict, astuple, field, fields, hints, is_record, replace
from prefork._records.record import entity, mutable, record, record_by_name


@record
class Point:
    """A point."""

    x: int
    y: int = 0
    seen: int = field(default=0, compare=False)
    secret: str = field(default="", compare=False)


@record
class Empty:
    """A fact without members."""


@dataclass(frozen=True, slots=True)
class Twin:
    """What a `Point` is to be like."""

    x: int
    y: int = 0
    seen: int = dataclasses.field(default=0, compare=False)
    secret: str = dataclasses.field(default="", compare=False)


def test_record_is_what_a_frozen_dataclass_is() -> None:
    for made in (Point(1), Point(1, 2, seen=3, secret="a"), Point(x=1, y=[2])):  # type: ignore[arg-type]
        twin: Any = Twin(made.x, made.y, made.seen, made.secret)
        assert repr(made) == repr(twin).replace("Twin", "Point")
        assert replace(made, x=5) == Point(5, made.y)
        assert pickle.loads(pickle.dumps(made)) == made
    assert not hasattr(Point(1), "__dict__")
    assert Point.__match_args__ == Twin.__match_args__
    assert repr(Empty()) == "Empty()"


def test_records_are_compared_by_their_compared_fields() -> None:
    assert Point(1, seen=1) == Point(1, seen=2) != Point(2)
    assert len({Point(1), Point(1, seen=1), Point(2), Empty(), Empty()}) == 3
    other: Any = Twin(1)
    assert Point(1) != other


def refusal(change: Callable[[], object]) -> str:
    with pytest.raises(FrozenInstanceError) as refused:
        change()
    return str(refused.value)


@pytest.mark.parametrize("name", ["x", "seen"])
def test_record_cannot_be_changed(name: str) -> None:
    made, twin = Point(1), Twin(1)
    assert refusal(lambda: setattr(made, name, 2)) == refusal(lambda: setattr(twin, name, 2))
    assert refusal(lambda: delattr(made, name)) == refusal(lambda: delattr(twin, name))


def test_records_share_the_methods_that_differ_in_names_only() -> None:
    for method in "__repr__", "__setattr__", "__delattr__":
        assert getattr(Point, method) is getattr(Empty, method)


@record
class Order:
    """An order with a value that it shares with others."""

    what: str
    where: Mapping[str, int] = field(default_factory=dict)


def test_missing_and_unknown_arguments_are_named() -> None:
    made: Any = Order
    with pytest.raises(TypeError, match=r"Order\.__init__\(\) missing 1 required positional argument: 'what'"):
        made()
    with pytest.raises(TypeError, match=r"Order\.__init__\(\) got an unexpected keyword argument 'who'"):
        made("go", who=1)
    assert list(inspect.signature(made).parameters) == ["what", "where"]


def test_value_of_a_factory_is_made_once() -> None:
    assert Order("go") == Order("go", {})
    assert Order("go").where is Order("come").where
    assert made_by_keywords(what="go", where={"x": 1}).where == {"x": 1}


def made_by_keywords(**given: Any) -> Order:
    return Order(**given)


@record_by_name
class Options:
    """Options, of which the first one has a default."""

    where: Mapping[str, int] = field(default_factory=dict)
    what: str


def test_values_of_record_by_name_are_given_by_name() -> None:
    made: Any = Options
    assert made(what="go") == made(where={}, what="go") == replace(made(what="come"), what="go")
    assert repr(made(what="go")) == "Options(where={}, what='go')"
    with pytest.raises(TypeError, match=r"Options\.__init__\(\) missing 1 required keyword-only argument: 'what'"):
        made()
    with pytest.raises(TypeError, match=r"Options\.__init__\(\) takes 1 positional argument but 2 were given"):
        made("go")
    assert refusal(lambda: setattr(made(what="go"), "what", "come")) == "cannot assign to field 'what'"


@mutable
class Tally:
    """What is counted."""

    count: int = 0
    seen: list[str] = field(default_factory=list)
    last: str = field(default="", compare=False)


def test_mutable_is_what_a_dataclass_with_slots_is() -> None:
    one, other = Tally(1), Tally(1, [], last="b")
    assert one == other != Tally(2)
    one.count, one.last = 2, "a"
    one.seen.append("a")
    assert repr(one) == "Tally(count=2, seen=['a'], last='a')"
    assert one != other == Tally(1)
    assert not hasattr(one, "__dict__")
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


@entity
class Peer:
    """A process."""

    pid: int
    sent: list[str] = field(default_factory=list)


def test_entity_equals_itself_only() -> None:
    one, other = Peer(1), Peer(1)
    assert one != other
    assert len({one, other, one}) == 2
    one.sent.append("a")
    assert other.sent == []
    assert repr(one) == "Peer(pid=1, sent=['a'])"


@record
class Nested:
    """Records in a record."""

    points: tuple[Point, ...]
    by_name: dict[str, Empty] = field(default_factory=dict, metadata={"help": "text"})


NESTED = Nested((Point(1),), {"a": Empty()})


def test_members_are_what_dataclasses_has_of_them() -> None:
    """Programs that know dataclasses read a record as one."""
    for cls in Point, Empty, Options, Tally, Peer, Nested:
        assert is_record(cls)
        assert dataclasses.is_dataclass(cls)
        theirs = dataclasses.fields(cls)
        assert [each.name for each in fields(cls)] == [each.name for each in theirs]
        for one, other in zip(fields(cls), theirs, strict=True):
            assert (one.type, one.compare, dict(one.metadata)) == (other.type, other.compare, dict(other.metadata))
            for absent, of in ((MISSING, one), (dataclasses.MISSING, other)):
                assert (of.default is absent) == (one.default is MISSING)
                assert (of.default_factory is absent) == (one.default_factory is MISSING)
    assert asdict(NESTED) == dataclasses.asdict(NESTED)
    assert dataclasses.replace(NESTED, by_name={}) == replace(NESTED, by_name={})
    assert astuple(Point(3)) == dataclasses.astuple(Point(3))
    assert not is_record(Twin)


def test_hints_are_the_types_of_the_annotations() -> None:
    assert hints(Nested) == {"points": tuple[Point, ...], "by_name": dict[str, Empty]}
