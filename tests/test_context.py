"""Worker contexts: what travels comes back equal, and what would not is refused by name."""

from __future__ import annotations

import datetime
import gc
import math
import pickle
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass, field
from decimal import Decimal
from enum import Enum, IntFlag
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar

import pytest

from prefork import Descriptor, UsageError, WorkerContext, _context
from prefork._context import check_classes, decoded, descriptors, encoded, find, key, order

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _classes_of_a_test_end_with_it() -> Iterator[None]:
    known = {kind: dict(classes) for kind, classes in _context._classes.items()}
    yield
    _context._classes.clear()
    _context._classes.update(known)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Address:
    street: str
    number: int | None = None


@dataclass(frozen=True)
class Tree:
    children: tuple[Tree, ...] = ()


@dataclass(frozen=True)
class Everything(WorkerContext):
    id: int
    colour: Colour
    name: str = "x"
    primary: bool = False
    address: Address = field(default=Address("road"), compare=False)
    maybe: Address | None = field(default=None, compare=False)
    raw: bytes = field(default=b"", compare=False)
    day: datetime.date = field(default=datetime.date(2026, 1, 2), compare=False)
    moment: datetime.datetime = field(default=datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.UTC), compare=False)
    span: datetime.timedelta = field(default=datetime.timedelta(days=1, microseconds=1), compare=False)
    ident: uuid.UUID = field(default=uuid.UUID(int=7), compare=False)
    price: Decimal = field(default=Decimal("1.10"), compare=False)
    ratio: float = field(default=0.1, compare=False)
    big: int = field(default=2**70, compare=False)
    names: dict[str, list[int]] = field(default_factory=dict, compare=False)
    ports: dict[int, str] = field(default_factory=dict, compare=False)
    days: dict[datetime.date, dict[Colour, float]] = field(default_factory=dict, compare=False)
    members: frozenset[str] = field(default=frozenset(), compare=False)
    pair: tuple[int, str] = field(default=(1, "a"), compare=False)
    mode: Literal["fast", "slow"] = field(default="fast", compare=False)
    tree: Tree = field(default=Tree((Tree(), Tree((Tree(),)))), compare=False)
    either: int | str = field(default="1", compare=False)


def test_everything_that_json_can_carry_comes_back_equal() -> None:
    context = Everything(
        1,
        Colour.BLUE,
        name="ü/%",
        maybe=Address("lane", 3),
        raw=bytes(range(256)),
        names={"a": [1, 2]},
        ports={443: "https", 80: "http"},
        days={datetime.date(2026, 1, 2): {Colour.RED: 0.5, Colour.BLUE: 1.0}},
        members=frozenset("abc"),
    )
    back = WorkerContext.decode(context.encode())
    assert isinstance(back, Everything)
    assert vars(back) == vars(context)
    assert back.encode() == context.encode()


def test_equal_contexts_have_equal_bytes() -> None:
    one = Everything(1, Colour.RED, ports={80: "http", 443: "https"}, members=frozenset({"a", "b"}))
    other = Everything(1, Colour.RED, ports={443: "https", 80: "http"}, members=frozenset({"b", "a"}))
    assert one.encode() == other.encode()


def test_the_key_is_the_compared_fields() -> None:
    context = Everything(1, Colour.BLUE, "a b", True)
    assert key(context) == "everything/1/BLUE/a%20b/true"
    assert key(context) == key(Everything(1, Colour.BLUE, "a b", True, raw=b"other"))


@dataclass(frozen=True, slots=True)
class Slotted(WorkerContext, kind="www"):
    id: int


def test_a_kind_can_be_named_and_outlives_slots() -> None:
    gc.collect()
    assert key(Slotted(3)) == "www/3"
    assert find("www") is Slotted
    assert Slotted.decode(Slotted(3).encode()) == Slotted(3)


@dataclass(frozen=True)
class Numbered(WorkerContext):
    id: int
    doubled: int = field(init=False, compare=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "doubled", 2 * self.id)


def test_computed_fields_are_computed_again() -> None:
    back = Numbered.decode(Numbered(4).encode())
    assert back.doubled == 8


def test_numbers_are_sorted_as_numbers() -> None:
    assert sorted([Numbered(10), Numbered(2), Numbered(1)], key=order) == [Numbered(1), Numbered(2), Numbered(10)]


class Rights(IntFlag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Allowed(WorkerContext):
    rights: Rights


def test_flags_are_an_identity_also_where_they_have_no_name() -> None:
    all_of_them = [Allowed(Rights(number)) for number in (0, 1, 2, 3, 8)]
    assert [key(context) for context in all_of_them] == [
        "allowed/0",
        "allowed/READ",
        "allowed/WRITE",
        "allowed/READ%7CWRITE",
        "allowed/8",
    ]
    for context in sorted(all_of_them, key=order):
        assert Allowed.decode(context.encode()) == context


@dataclass(frozen=True)
class Holder(WorkerContext):
    first: Descriptor = field(compare=False)
    maybe: Descriptor | None = field(default=None, compare=False)
    many: tuple[Descriptor, ...] = field(default=(), compare=False)
    number: int = field(default=9, compare=False)


def test_descriptors_are_those_that_the_fields_name() -> None:
    holder = Holder(Descriptor(5), None, (Descriptor(6), Descriptor(7)))
    assert descriptors(holder) == [5, 6, 7]
    assert descriptors(Holder(Descriptor(5), Descriptor(8))) == [5, 8]


Inherited = NewType("Inherited", Descriptor)

HOLDING: dict[str, tuple[Any, Any, list[int]]] = {
    "another name": (Inherited, 5, [5]),
    "annotated": (Annotated[Descriptor, "of the log"], 5, [5]),
    "tuple or None": (tuple[Descriptor, ...] | None, (5, 6), [5, 6]),
    "tuple that is None": (tuple[Descriptor, ...] | None, None, []),
    "list of some": (list[Descriptor | None], [5, None, 6], [5, 6]),
    "set": (set[Descriptor], {5}, [5]),
    "frozen set": (frozenset[Descriptor], frozenset({5}), [5]),
    "dict": (dict[str, Descriptor], {"a": 5, "b": 6}, [5, 6]),
    "dict of lists": (dict[str, list[Annotated[Descriptor, 1]]], {"a": [5, 6], "b": []}, [5, 6]),
    "beside a number": (tuple[Descriptor, int], (5, 8080), [5]),
    "behind a name": (list[tuple[str, Descriptor]], [("a", 5), ("b", 6)], [5, 6]),
    "none": (tuple[int, Address, Colour, Literal["a"], Tree], (5, Address("a"), Colour.RED, "a", Tree()), []),
}


def with_field(annotation: Any, **more: Any) -> Any:
    """Return a context class of this one parameter. The registry keeps the newest class of a name."""
    body = {"__annotations__": {"odd": annotation}, "odd": field(compare=False), **more}
    return dataclass(frozen=True)(type("Refused", (WorkerContext,), body))


@pytest.mark.parametrize(("annotation", "value", "named"), HOLDING.values(), ids=HOLDING.keys())
def test_descriptors_are_found_by_their_place(annotation: Any, value: Any, named: list[int]) -> None:
    context = with_field(annotation)(value)
    context.encode()
    assert descriptors(context) == named


@pytest.mark.skipif(sys.version_info < (3, 12), reason="`type` came with Python 3.12")
def test_descriptors_are_found_behind_a_type_statement() -> None:
    names: dict[str, Any] = {"Descriptor": Descriptor}
    exec("type FD = Descriptor\ntype Several = list[FD]\ntype Pair[T] = tuple[FD, T]", names)
    assert descriptors(with_field(names["Several"])([5])) == [5]
    with pytest.raises(UsageError, match=r"^Refused\.odd: a Descriptor in "):
        key(with_field(names["Pair"][int])((5, 6)))


@dataclass(frozen=True)
class Handed(Address):
    log: Descriptor | None = None


class Row(NamedTuple):
    log: Descriptor


@pytest.mark.parametrize(
    "annotation",
    [Handed, Row, list[Handed | None], dict[str, tuple[int, Row]], Descriptor | str, Descriptor | int | None],
)
def test_annotation_that_hides_descriptors_is_refused(annotation: Any) -> None:
    with pytest.raises(UsageError, match=r"^Refused\.odd: a Descriptor in .* would not be inherited: "):
        key(with_field(annotation)(None))


@dataclass(frozen=True)
class Parameters(WorkerContext):
    id: int
    ratio: float | None = field(default=None, compare=False)
    text: str = field(default="", compare=False)
    address: Address | None = field(default=None, compare=False)
    numbers: dict[int, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Villa(Address):
    pool: bool = True


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"ratio": math.nan}, "ratio"),
        ({"ratio": math.inf}, "ratio"),
        ({"text": "\ud800"}, "text"),
        ({"text": 3}, "text"),
        ({"text": Path("/")}, "text"),
        ({"address": Villa("v")}, "address"),
        ({"numbers": {1: math.nan}}, "numbers"),
        ({"numbers": [1]}, "numbers"),
    ],
)
def test_value_that_comes_back_unequal_is_refused(values: dict[str, Any], name: str) -> None:
    with pytest.raises(UsageError, match=rf"^Parameters\.{name}: "):
        Parameters(1, **values).encode()


@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_an_identity_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match=r"^Parameters\.id: "):
        Parameters(value).encode()


@dataclass(frozen=True)
class Box(Generic[T]):
    value: T


REFUSED: dict[str, Any] = {
    "two dataclasses": Address | Tree,
    "text or bytes": str | bytes,
    "text or date": str | datetime.date,
    "path": Path,
    "complex": complex,
    "anything": Any,
    "object": object,
    "untyped dict": dict,
    "untyped list": list,
    "untyped tuple": tuple,
    "dict of anything": dict[str, Any],
    "dict of tuples": dict[tuple[str, int], str],
    "dict of perhaps nothing": dict[int | None, str],
    "dict of truths": list[dict[bool, str]],
    "nested": dict[str, list[Path]],
    "generic": Box,
    "generic with argument": Box[int],
    "callable": type(len),
}


@pytest.mark.parametrize("annotation", REFUSED.values(), ids=REFUSED.keys())
def test_annotation_that_cannot_be_carried_is_refused(annotation: Any) -> None:
    cls = with_field(annotation)
    with pytest.raises(UsageError, match=r"^Refused\.odd: "):
        check_classes()
    with pytest.raises(UsageError, match=r"^Refused\.odd: "):
        key(cls(None))
    type(
        "Refused", (WorkerContext,), {}
    )  # The registry keeps the newest class of a name: an undecorated one is left alone.


@pytest.mark.parametrize("annotation", [float, bytes, Address, int | None, list[int], Descriptor])
def test_a_compared_field_must_be_fit_for_an_identity(annotation: Any) -> None:
    cls: Any = dataclass(frozen=True)(type("Refused", (WorkerContext,), {"__annotations__": {"odd": annotation}}))
    with pytest.raises(UsageError, match=r"^Refused\.odd: .*compare=False"):
        key(cls(None))


def test_classes_that_are_no_values_are_refused() -> None:
    class Plain(WorkerContext):
        pass

    @dataclass
    class Thawed(WorkerContext):
        id: int

    @dataclass(frozen=True, eq=False)
    class Identical(WorkerContext):
        id: int

    @dataclass(frozen=True)
    class Typed(WorkerContext, Generic[T]):
        id: int

    class Forgotten(Parameters):
        more: int = 1

    contexts: list[WorkerContext] = [Plain(), Thawed(1), Identical(1), Typed(1), Forgotten(1)]
    for context in contexts:
        with pytest.raises(UsageError, match=f"{type(context).__name__} "):
            context.encode()


def compared(self: Any, other: Any) -> bool:
    return bool(self.id == other.id)


@pytest.mark.parametrize("name", sorted(_context._COMPARISONS))
@pytest.mark.parametrize("options", [{}, {"slots": True}])
def test_comparison_of_its_own_is_refused_by_name(name: str, options: dict[str, bool]) -> None:
    """Identity would be two things: what the method says, and what the key, the set and the order go by."""
    body = {"__annotations__": {"id": int, "port": int}, name: compared}
    cls: Any = dataclass(frozen=True, **options)(type("Refused", (WorkerContext,), body))
    with pytest.raises(UsageError) as refused:
        key(cls(0, 1))
    assert str(refused.value) == (
        f"Refused.{name}: remove it: the compared fields are a worker's identity, and its key, its equality and its "
        "order are made of them; for a parameter, use field(compare=False)"
    )
    with pytest.raises(UsageError, match=rf"^Refused\.{name}: "):
        check_classes()
    type("Refused", (WorkerContext,), {})


class Ordered:
    def __lt__(self, other: Any) -> bool:
        return True


class Abstract(WorkerContext):
    def __eq__(self, other: object) -> bool:
        return True


@pytest.mark.parametrize("base", [Ordered, Abstract])
def test_inherited_comparison_is_refused_by_its_class(base: type) -> None:
    bases = (base,) if issubclass(base, WorkerContext) else (base, WorkerContext)
    cls: Any = dataclass(frozen=True)(type("Refused", bases, {"__annotations__": {"id": int}}))
    with pytest.raises(UsageError, match=rf"^{base.__name__}\.__(lt|eq)__: remove it"):
        key(cls(0))
    type("Refused", (WorkerContext,), {})


@dataclass(frozen=True, order=True, slots=True)
class Sorted(WorkerContext):
    id: int


@dataclass(frozen=True)
class SortedToo(Sorted):
    name: str = "a"


def test_comparisons_that_a_dataclass_makes_are_its_own_fields() -> None:
    assert key(Sorted(1)) == "sorted/1"
    assert key(SortedToo(1)) == "sorted-too/1/a"


def test_parameter_cannot_be_part_of_the_hash() -> None:
    body = {"__annotations__": {"odd": int}, "odd": field(compare=False, hash=True)}
    cls: Any = dataclass(frozen=True)(type("Refused", (WorkerContext,), body))
    with pytest.raises(UsageError, match=r"^Refused\.odd: remove hash=True"):
        key(cls(1))
    type("Refused", (WorkerContext,), {})


@dataclass(frozen=True)
class Pickled(WorkerContext, Generic[T]):
    """What JSON cannot carry: any object, a path, a pattern, a complex number, and a generic field."""

    id: int
    anything: Any = field(default=None, compare=False)
    path: Path = field(default=Path("/"), compare=False)
    pattern: re.Pattern[str] = field(default=re.compile("a+"), compare=False)
    number: complex = field(default=0j, compare=False)
    call: Callable[[int], str] = field(default=str, compare=False)
    value: T | None = field(default=None, compare=False)
    held: Descriptor | None = field(default=None, compare=False)

    def encode(self) -> bytes:
        return pickle.dumps(vars(self))

    @classmethod
    def decode(cls, data: bytes) -> Pickled[Any]:
        return cls(**pickle.loads(data))


def test_own_codec_carries_what_json_cannot() -> None:
    context = Pickled(7, {1, (2, 3)}, Path("/tmp"), re.compile("x"), 1 + 2j, repr, (b"\0\xff",), Descriptor(5))
    data = encoded(context)
    with pytest.raises(UnicodeDecodeError):
        data.decode()
    back = decoded(key(context), data)
    assert vars(back) == vars(context)
    assert descriptors(context) == [5]


@dataclass(frozen=True)
class Wrapped(WorkerContext):
    id: int
    text: str = field(default="", compare=False)

    def encode(self) -> bytes:
        return super().encode()[::-1]

    @classmethod
    def decode(cls, data: bytes) -> Wrapped:
        return super().decode(data[::-1])


def test_own_codec_may_wrap_the_inherited_one() -> None:
    context = Wrapped(1, "abc")
    assert vars(decoded("wrapped/1", encoded(context))) == vars(context)


def test_inherited_encode_refuses_what_json_cannot_carry() -> None:
    both = {"encode": lambda self: WorkerContext.encode(self), "decode": staticmethod(print)}
    with pytest.raises(UsageError, match=r"^Refused\.odd: its type allows values that JSON would change"):
        with_field(Any, **both)(1).encode()
    type("Refused", (WorkerContext,), {})


def test_half_a_codec_is_none() -> None:
    for half in {"encode": lambda self: b""}, {"decode": staticmethod(print)}:
        with pytest.raises(UsageError, match=r"^Refused\.odd: its type allows values that JSON would change"):
            key(with_field(Any, **half)(1))
    type("Refused", (WorkerContext,), {})


@pytest.mark.parametrize("returned", ["text", None, bytearray(b"a")])
def test_encode_that_returns_no_bytes_is_refused(returned: Any) -> None:
    cls = with_field(int, encode=lambda self: returned)
    with pytest.raises(UsageError, match=r"^Refused\.encode\(\) returned .*, not bytes$"):
        encoded(cls(1))


@pytest.mark.parametrize("returned", [None, {"odd": 1}, Slotted(3), Numbered(4)])
def test_decode_that_returns_another_context_is_refused(returned: Any) -> None:
    """Its worker would do another's work, under this one's name."""
    body = {"__annotations__": {"id": int}, "decode": staticmethod(lambda data: returned)}
    dataclass(frozen=True)(type("Refused", (WorkerContext,), body))
    with pytest.raises(UsageError, match=r"^Refused\.decode\(\) returned .*, not the context of refused/3$"):
        decoded("refused/3", b"")


def test_decode_that_returns_another_identity_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^Wrapped\.decode\(\) returned .*, not the context of wrapped/2$"):
        decoded("wrapped/2", encoded(Wrapped(1)))


def test_init_vars_and_hiding_names_are_refused() -> None:
    @dataclass(frozen=True)
    class Transient(WorkerContext, kind="transient-1"):
        seed: InitVar[int]

    @dataclass(frozen=True)
    class Hiding(WorkerContext, kind="hiding-1"):
        encode: int  # type: ignore[assignment]

    with pytest.raises(UsageError, match=r"Transient\.seed: .*InitVar"):
        WorkerContext.encode(Transient(1))
    with pytest.raises(UsageError, match=r"Hiding\.encode: "):
        WorkerContext.encode(Hiding(1))


def test_two_classes_of_one_kind_are_refused_by_both_names() -> None:
    def one() -> type[WorkerContext]:
        @dataclass(frozen=True)
        class Twin(WorkerContext):
            id: int

        return Twin

    def other() -> type[WorkerContext]:
        @dataclass(frozen=True)
        class Twin(WorkerContext):
            id: int

        return Twin

    one(), other()
    with pytest.raises(UsageError, match=r"one.<locals>.Twin, .*other.<locals>.Twin"):
        find("twin")


def test_what_is_no_context_is_refused() -> None:
    for data in (b"", b"{}", b"[]", b'{"kind": "parameters"}', b'{"kind": 1, "fields": {}}', b"\xff"):
        with pytest.raises(UsageError, match="no encoded context"):
            WorkerContext.decode(data)
    with pytest.raises(UsageError, match="no context class of kind 'nobody'"):
        WorkerContext.decode(b'{"kind": "nobody", "fields": {}}')
    with pytest.raises(UsageError, match="not a Slotted"):
        Slotted.decode(Numbered(1).encode())
    with pytest.raises(UsageError, match=r"^Numbered\.id: .*; if its type has changed, restart the daemon$"):
        Numbered.decode(b'{"kind": "numbered", "fields": {"id": "x"}}')


def deployed(**fields: Any) -> Any:
    """Return the class `Deployed` of a program, name -> (annotation, field). It replaces the former one."""
    body = {"__annotations__": {name: annotation for name, (annotation, _) in fields.items()}}
    return dataclass(frozen=True)(
        type("Deployed", (WorkerContext,), {**body, **{n: f for n, (_, f) in fields.items()}})
    )


def parameter(annotation: Any, **default: Any) -> Any:
    return annotation, field(compare=False, kw_only=True, **default)


ID = (int, field())
PORT = parameter(int, default=80)


def test_parameter_that_was_not_sent_gets_its_default() -> None:
    """An ordinary deploy: the master that encodes has the former class until it is restarted."""
    sent = deployed(id=ID, port=PORT)(1, port=8080).encode()
    hosts = parameter(list[str], default_factory=lambda: ["localhost"])
    deployed(id=ID, name=parameter(str, default="x"), port=PORT, hosts=hosts)
    back: Any = decoded("deployed/1", sent)
    assert (back.id, back.port, back.name, back.hosts) == (1, 8080, "x", ["localhost"])


def test_parameter_that_there_is_no_more_is_dropped() -> None:
    """So a deploy that was taken can be taken back."""
    sent = deployed(id=ID, port=PORT, name=parameter(str))(1, port=8080, name="x").encode()
    deployed(id=ID, port=PORT)
    back = decoded("deployed/1", sent)
    assert vars(back) == {"id": 1, "port": 8080}


LOST = {
    "no default": (
        {"id": ID, "port": PORT},
        {"id": ID, "port": PORT, "name": parameter(str)},
        "^Deployed was sent no value for name: .*; give a new parameter a default, or restart the daemon$",
    ),
    "renamed": (
        {"id": ID, "host": parameter(str, default="")},
        {"id": ID, "hostname": parameter(str, default="")},
        "^Deployed was sent a value for host and none for hostname: .* would be lost; restart the daemon$",
    ),
    "more of an identity": (
        {"id": ID},
        {"id": ID, "shard": (int, field(default=0))},
        "^Deployed was sent no value for shard: ",
    ),
    "less of an identity": (
        {"id": ID, "shard": (int, field(default=0))},
        {"id": ID},
        "not the context of deployed/1/0: its compared fields have changed; restart the daemon$",
    ),
    "identity that became a parameter": (
        {"id": ID, "port": (int, field(default=80))},
        {"id": ID, "port": PORT},
        "not the context of deployed/1/80: its compared fields have changed; restart the daemon$",
    ),
    "another type": (
        {"id": ID, "port": PORT},
        {"id": ID, "port": parameter(str, default="80")},
        r"^Deployed\.port: Expected `str`, got `int`; if its type has changed, restart the daemon$",
    ),
}


@pytest.mark.parametrize(("former", "present", "reason"), LOST.values(), ids=LOST.keys())
def test_context_that_would_lose_a_value_is_refused(former: Any, present: Any, reason: str) -> None:
    context = deployed(**former)(1)
    sent, expected = context.encode(), key(context)
    deployed(**present)
    with pytest.raises(UsageError, match=reason):
        decoded(expected, sent)


def test_context_of_a_renamed_class_is_refused_with_what_helps() -> None:
    sent = b'{"kind": "former-name", "fields": {"id": 1}}'
    with pytest.raises(UsageError, match=r"^no context class of kind 'former-name' .*give it kind='former-name'$"):
        decoded("former-name/1", sent)
    dataclass(frozen=True)(type("Deployed", (WorkerContext,), {"__annotations__": {"id": int}}, kind="former-name"))
    assert key(decoded("former-name/1", sent)) == "former-name/1"
