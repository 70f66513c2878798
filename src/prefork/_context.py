"""Worker contexts: the values that say which worker a process is.

They carry its parameters, and travel to it as text.

A context is sent as data, `{"kind": ..., "fields": {...}}` in JSON, since it goes to another process and, after a
deploy, perhaps to another version of its class. What JSON would change is refused by the field's name: for its
annotation before anything runs, for its value before anything is started.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Any, ClassVar, NewType, Self

import msgspec
from msgspec import inspect as ms

from ._errors import UsageError
from ._wire.keys import key_of, kind_in, kind_of, name_of

Descriptor = NewType("Descriptor", int)
"""An open file descriptor: a worker inherits those that its context's fields of this type name (hooks interface).

It may also be an element of a list, tuple, set or dict, or be None.
"""

_ENCODER = msgspec.json.Encoder(order="deterministic")  # Sets have no order: equal contexts must give equal bytes.
_NO_KEY = (
    *(ms.BoolType, ms.NoneType, ms.TupleType, ms.VarTupleType, ms.FrozenSetType),
    *(ms.DataclassType, ms.StructType, ms.NamedTupleType),
)
"""Types that cannot be keys in JSON."""
_COMPARISONS = frozenset({"__eq__", "__ne__", "__hash__", "__lt__", "__le__", "__gt__", "__ge__"})
_RESERVED = frozenset({"encode", "decode", "interpreter_options", "launch"})

_classes: dict[str, dict[str, type[WorkerContext]]] = {}
"""Kind -> full name -> class. Two names under one kind are an error, but only once the kind is used: until then one of
them may be a class of a test, or unused. A class of the same name replaces the former: `@dataclass(slots=True)` and
`importlib.reload` make a class again."""


class WorkerContext:
    """The base class of worker contexts: frozen dataclasses that say which worker a process is.

    Compared fields (int, str, bool or an Enum) are the worker's identity; fields with `compare=False` are parameters of
    any type that msgspec can send as JSON, or of any type at all in a class with an `encode` and a `decode` of its own.
    The kind is the class's name in kebab case, or the keyword in the class statement:
    `class Web(WorkerContext, kind="www")`.
    """

    _kind: ClassVar[str]
    _comparisons: ClassVar[Collection[str]] = ()
    """The methods that compare, as the class's own code defines them."""

    def __init_subclass__(cls, *, kind: str | None = None, **others: Any) -> None:
        super().__init_subclass__(**others)
        # @dataclass(slots=True) makes the class again without its keywords, but with its attributes.
        cls._kind = kind or cls.__dict__.get("_kind") or kind_of(cls.__name__)
        if "__dataclass_params__" not in vars(cls):  # Otherwise they are those that @dataclass has added.
            cls._comparisons = _COMPARISONS & vars(cls).keys()
        _classes.setdefault(cls._kind, {})[_full_name(cls)] = cls

    def encode(self) -> bytes:
        """Return this context as JSON. Raises UsageError that names the field whose value JSON would change.

        A class may override it and `decode`, for any bytes. A `Daemon` replaces a worker whose bytes have changed.
        """
        spec = _spec(type(self))
        fields = {field.name: field.encoded(self) for field in spec if field.travels}
        return _ENCODER.encode({"kind": self._kind, "fields": fields})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the context that `encode` made `data` of. Raises UsageError if it is not of this class."""
        try:
            wire = msgspec.json.decode(data, type=_Wire)
        except msgspec.MsgspecError as error:
            raise UsageError(f"no encoded context: {error}") from None
        found = find(wire.kind)
        if not issubclass(found, cls):
            raise UsageError(f"a context of kind {wire.kind!r} is a {found.__qualname__}, not a {cls.__qualname__}")
        travelling = {field.name: field for field in _spec(found) if field.travels}
        if odd := wire.fields.keys() ^ travelling.keys():
            names = ", ".join(sorted(odd))
            raise UsageError(
                f"{found.__qualname__} does not have the fields that were sent ({names}): its code has changed; restart"
            )
        return found(**{name: field.decoded(wire.fields[name]) for name, field in travelling.items()})

    def interpreter_options(self) -> Sequence[str]:
        """Return interpreter options for this worker, such as `["-X", "dev"]`; none unless overridden."""
        return ()

    def launch(self) -> Launch:
        """Return how this worker is started; unless overridden, with its `interpreter_options()`."""
        return Launch(interpreter_options=self.interpreter_options())


@dataclass(frozen=True)
class Launch:
    """How one worker is started; overrides the options of its kind."""

    env: dict[str, str] = dataclasses.field(default_factory=dict)
    """Variables to set in its environment."""
    affinity: tuple[int, ...] = ()
    """The numbers of the processors that it may run on (sched_setaffinity(2)); empty for all."""
    nice: int | None = None
    """Its nice value, -20 to 19 (setpriority(2)); None for the master's."""
    interpreter_options: Sequence[str] = ()
    """Interpreter options such as `-X dev`. In a `Daemon` only for a kind with `spawn="exec"`."""


_Finder = Callable[[Any], Iterable[int]]
"""Finds the descriptors in a value of a field."""


class _Wire(msgspec.Struct):
    kind: str
    fields: dict[str, msgspec.Raw]


@dataclass(frozen=True, slots=True)
class _Field:
    owner: str
    name: str
    annotation: Any
    decoder: msgspec.json.Decoder[Any] | None
    refusal: str | None
    finder: _Finder | None
    compared: bool
    travels: bool

    def encoded(self, context: WorkerContext) -> msgspec.Raw:
        value = getattr(context, self.name)
        if self.compared and type(value) is not self.annotation:
            # 1 == True == 1.0, but their keys differ; and a key must not depend on a subclass's `__str__`.
            self._refuse(f"{value!r} is {type(value).__name__}, not {self.annotation.__name__}")
        if self.decoder is None:
            self._refuse(f"{self.refusal}")
        try:
            # The encoder can sort only keys that are strings, and would refuse a dict[int, str].
            data = _ENCODER.encode(msgspec.to_builtins(value, str_keys=True, order="deterministic"))
            back = self.decoder.decode(data)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
            self._refuse(f"{_short(value)} cannot be sent: {error}")
        if back != value:
            self._refuse(f"{_short(value)} would arrive as {_short(back)}")
        return msgspec.Raw(data)

    def decoded(self, data: msgspec.Raw) -> Any:
        if self.decoder is None:
            self._refuse(f"{self.refusal}")
        try:
            return self.decoder.decode(data)
        except msgspec.MsgspecError as error:
            self._refuse(f"{error}")

    def _refuse(self, why: str) -> typing.NoReturn:
        raise UsageError(f"{self.owner}.{self.name}: {why}")


def encoded(context: WorkerContext) -> bytes:
    """Return what the context's `encode` returns. Raises UsageError if that is not bytes, and what it raises."""
    data = context.encode()
    if not isinstance(data, bytes):
        raise UsageError(f"{type(context).__qualname__}.encode() returned {_short(data)}, not bytes")
    return data


def decoded(expected: str, data: bytes) -> WorkerContext:
    """Return the context of the worker with the key `expected`.

    Raises UsageError if its class's `decode` returns another one, and what it raises.
    """
    cls = find(kind_in(expected))
    context = cls.decode(data)
    if not isinstance(context, cls) or key(context) != expected:
        raise UsageError(f"{cls.__qualname__}.decode() returned {_short(context)}, not the context of {expected}")
    return context


def key(context: WorkerContext) -> str:
    """Return the key of a context, such as `web/0`. Raises UsageError for a class or key that is not allowed."""
    return key_of(context._kind, (getattr(context, f.name) for f in _spec(type(context)) if f.compared))


def order(context: WorkerContext) -> tuple[Any, ...]:
    """Return the sort key of a context: kind, then identity, numbers as numbers."""
    values = (getattr(context, f.name) for f in _spec(type(context)) if f.compared)
    return (context._kind, *(name_of(value) if isinstance(value, Enum) else value for value in values))


def descriptors(context: WorkerContext) -> list[int]:
    """Return the descriptors that a context names, in the order of its fields."""
    return [d for f in _spec(type(context)) if f.finder for d in f.finder(getattr(context, f.name))]


def find(kind: str) -> type[WorkerContext]:
    """Return the class of a kind. Raises UsageError where there is none, or more than one."""
    found = _classes.get(kind)
    if not found:
        known = ", ".join(sorted(_classes)) or "none"
        raise UsageError(f"no context class of kind {kind!r} (known: {known}): define or import it in workers, too")
    if len(found) > 1:
        raise UsageError(f"several classes are of kind {kind!r}: {', '.join(sorted(found))}; give one another kind=...")
    return next(iter(found.values()))


def check_classes() -> None:
    """Raise UsageError if a context class that is known here could never be sent."""
    for kind, found in _classes.items():
        decorated = [cls for cls in found.values() if "__dataclass_params__" in vars(cls)]
        for cls in decorated:
            _spec(cls)
        if len(decorated) > 1:
            find(kind)


_specs: dict[type[WorkerContext], tuple[_Field, ...]] = {}


def _spec(cls: type[WorkerContext]) -> tuple[_Field, ...]:
    if cls not in _specs:
        _check_class(cls)
        hints = _hints(cls)
        _specs[cls] = tuple(_field(cls, field, hints[field.name]) for field in dataclasses.fields(cls))  # type: ignore[arg-type]
    return _specs[cls]


def _check_class(cls: type[WorkerContext]) -> None:
    params = vars(cls).get("__dataclass_params__")
    name = cls.__qualname__
    if params is None or not params.frozen or not params.eq:
        raise UsageError(f"decorate {name} with @dataclass(frozen=True): it is a value that names a worker")
    _check_comparisons(cls)
    if getattr(cls, "__parameters__", ()) and not _has_own_codec(cls):
        raise UsageError(f"{name} is generic, and its type arguments cannot be sent: give it concrete types")
    for field, annotation in vars(cls).get("__annotations__", {}).items():
        if field in _RESERVED:
            raise UsageError(f"{name}.{field}: rename it, it would hide WorkerContext.{field}()")
        is_init_var = isinstance(annotation, dataclasses.InitVar) or "InitVar[" in str(annotation)
        if is_init_var and not _has_own_codec(cls):
            raise UsageError(f"{name}.{field}: an InitVar is not stored and cannot be sent: make it a field")


def _check_comparisons(cls: type) -> None:
    for each in cls.__mro__[:-1]:
        if issubclass(each, WorkerContext):
            own = each._comparisons if "_comparisons" in vars(each) else ()
        else:
            own = () if dataclasses.is_dataclass(each) else _COMPARISONS & vars(each).keys()
        # `__hash__` last: Python adds one to a class that defines `__eq__`.
        for method in sorted(own, key=lambda name: (name == "__hash__", name)):
            raise UsageError(
                f"{each.__qualname__}.{method}: remove it: the compared fields are a worker's identity, and its key, "
                "its equality and its order are made of them; for a parameter, use field(compare=False)"
            )


def _has_own_codec(cls: type[WorkerContext]) -> bool:
    """Return whether both methods are the program's: then its fields need not be values that JSON can carry."""
    decode = getattr(cls.decode, "__func__", cls.decode)
    return cls.encode is not WorkerContext.encode and decode is not vars(WorkerContext)["decode"].__func__


def _field(cls: type[WorkerContext], field: dataclasses.Field[Any], annotation: Any) -> _Field:
    where = f"{cls.__qualname__}.{field.name}"
    if field.compare and not (annotation in (int, str, bool) or _is_enum(annotation)):
        raise UsageError(
            f"{where}: a compared field is part of the worker's identity and must be int, str, bool or an Enum; "
            "for a parameter, use field(compare=False)"
        )
    if field.hash and not field.compare:
        raise UsageError(f"{where}: remove hash=True: a parameter is not part of the worker's identity")
    decoder, refusal = _json(annotation)
    if refusal and not _has_own_codec(cls):
        raise UsageError(f"{where}: {refusal}")
    try:
        finder = _finder(annotation)
    except TypeError as error:
        raise UsageError(f"{where}: {error}") from None
    return _Field(cls.__qualname__, field.name, annotation, decoder, refusal, finder, field.compare, field.init)


def _json(annotation: Any) -> tuple[msgspec.json.Decoder[Any] | None, str | None]:
    """Return the decoder of a type, or why values of it cannot be sent."""
    try:
        decoder, refusal = msgspec.json.Decoder(annotation), _refusal(ms.type_info(annotation), set())
    except (TypeError, NameError, ValueError, RecursionError) as error:
        return None, str(error)
    return (None, refusal) if refusal else (decoder, None)


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception as error:  # The program's own annotations may raise anything.
        raise UsageError(f"{cls.__qualname__}: its annotations cannot be evaluated: {error}") from None


def _is_enum(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Enum)


def _refusal(node: ms.Type, seen: set[int]) -> str | None:
    """Return why values of this type cannot be sent; None when they can. `seen` guards against recursive types."""
    if id(node) in seen:
        return None
    seen.add(id(node))
    match node:
        case ms.AnyType():
            return "its type allows values that JSON would change: give a precise type"
        case ms.CustomType() | ms.RawType() | ms.ExtType():
            return f"{getattr(getattr(node, 'cls', None), '__name__', type(node).__name__)} cannot be sent as JSON"
        case ms.DataclassType() | ms.StructType() if typing.get_origin(node.cls) or getattr(
            node.cls, "__parameters__", ()
        ):
            return f"{node.cls} is generic, and its type arguments cannot be sent: use a class with concrete types"
        case ms.DictType(key) if any(isinstance(one, _NO_KEY) for one in getattr(key, "types", (key,))):
            return "the keys of a dict are sent as strings: use str, numbers, enums or dates"
    for part in _parts(node):
        if refusal := _refusal(part, seen):
            return refusal
    return None


def _parts(node: ms.Type) -> Iterator[ms.Type]:
    for name in ("item_type", "key_type", "value_type", "type"):
        part = getattr(node, name, None)
        if isinstance(part, ms.Type):
            yield part
    yield from getattr(node, "item_types", ()) or getattr(node, "types", ())
    for field in getattr(node, "fields", ()):
        yield field.type


def _finder(annotation: Any, outer: tuple[Any, ...] = ()) -> _Finder | None:
    """Return a function that finds the descriptors in a value of this type; None where it has none.

    Raises TypeError where they would not be found, or are ambiguous. `outer` guards against recursive types.
    """
    if annotation is Descriptor:
        return lambda value: (int(value),)
    if annotation in outer:
        return None
    origin, parts = typing.get_origin(annotation), _types_in(annotation)
    found = [_finder(part, (*outer, annotation)) for part in parts]
    if not any(found):
        return None

    def in_turn(values: Iterable[Any]) -> Iterator[int]:
        for find, value in zip(found, values, strict=True):
            yield from find(value) if find else ()

    one = next(filter(None, found))
    if origin is typing.Annotated or (origin is None and not isinstance(annotation, type)):
        return one
    if origin in (typing.Union, types.UnionType) and len(parts) == 2 and types.NoneType in parts:
        return lambda value: () if value is None else one(value)
    if origin is tuple and Ellipsis not in parts:
        return in_turn
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return lambda value: chain.from_iterable(map(in_turn, value.items()))
    if isinstance(origin, type) and issubclass(origin, Collection):
        return lambda value: chain.from_iterable(map(one, value))
    raise TypeError(
        f"a Descriptor in {annotation} would not be inherited: it may be in a list, tuple, set or dict, or be None, "
        "but not in another class or a union with other types"
    )


def _types_in(annotation: Any) -> tuple[Any, ...]:
    """Return the types in a type: its arguments, the type that it is an alias of, or those of its fields."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return arguments[:1]
    if origin is not None:
        generic = getattr(origin, "__value__", None)  # The value of a `type` statement with parameters.
        return arguments if generic is None else (*arguments, generic)
    for name in "__supertype__", "__value__":  # Of NewType and of `type`.
        if hasattr(annotation, name):
            return (getattr(annotation, name),)
    if isinstance(annotation, type) and not _is_enum(annotation):
        return tuple(_hints(annotation).values())
    return ()


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
