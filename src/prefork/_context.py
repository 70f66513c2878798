"""Worker contexts: the values that say which worker a process is.

They carry its parameters, and travel to it as text.

A context is sent as data, `{"kind": ..., "fields": {...}}` in JSON, since it goes to another process and, after a
deploy, perhaps to another version of its class. What JSON would change is refused by the field's name: for its
annotation before anything runs, for its value before anything is started.

`_fields.field` and msgspec, which take longer to import than all else here, are imported where a context is sent or its
fields are checked: a program that becomes a master does neither.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ._errors import UsageError
from ._fields.descriptors import Descriptor as Descriptor
from ._wire.keys import key_of, kind_in, kind_of, name_of

if TYPE_CHECKING:
    from ._fields.field import Field

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
        from ._fields.json.whole import joined

        spec = _spec(type(self))
        return joined(self._kind, {each.name: each.encoded(getattr(self, each.name)) for each in spec if each.travels})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the context that `encode` made `data` of, perhaps in an older program than this one.

        A parameter that was not sent gets its default, and what was sent for one that this class does not have is
        dropped. Raises UsageError if the context is of another class, if a compared field or one without a default was
        not sent, and if one was not sent while another is unknown: it may have been renamed, and its value be lost.
        """
        from ._fields.json.whole import separated

        kind, sent = separated(data)
        found = find(kind)
        if not issubclass(found, cls):
            raise UsageError(f"a context of kind {kind!r} is a {found.__qualname__}, not a {cls.__qualname__}")
        travelling = {field.name: field for field in _spec(found) if field.travels}
        _check_sent(found.__qualname__, sent.keys(), travelling)
        return found(**{name: field.decoded(sent[name]) for name, field in travelling.items() if name in sent})

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


def _check_sent(name: str, sent: Collection[str], fields: Mapping[str, Field]) -> None:
    """Raise UsageError if a value that a context needs, or that was sent, would be lost."""
    absent = [field for field in fields if field not in sent]
    unknown = [field for field in sent if field not in fields]
    if needed := [field for field in absent if not fields[field].optional]:
        raise UsageError(
            f"{name} was sent no value for {', '.join(needed)}: its code has changed; give a new parameter a default, "
            "or restart the daemon"
        )
    if absent and unknown:
        raise UsageError(
            f"{name} was sent a value for {', '.join(unknown)} and none for {', '.join(absent)}: its code has changed, "
            "and if a field was renamed its value would be lost; restart the daemon"
        )


def encoded(context: WorkerContext) -> bytes:
    """Return what the context's `encode` returns. Raises UsageError if that is not bytes, and what it raises."""
    data = context.encode()
    if not isinstance(data, bytes):
        from ._fields.field import short

        raise UsageError(f"{type(context).__qualname__}.encode() returned {short(data)}, not bytes")
    return data


def decoded(expected: str, data: bytes) -> WorkerContext:
    """Return the context of the worker with the key `expected`.

    Raises UsageError if its class's `decode` returns another one, and what it raises.
    """
    cls = find(kind_in(expected))
    context = cls.decode(data)
    if not isinstance(context, cls) or key(context) != expected:
        from ._fields.field import short

        why = "" if _has_own_decode(cls) else ": its compared fields have changed; restart the daemon"
        raise UsageError(f"{cls.__qualname__}.decode() returned {short(context)}, not the context of {expected}{why}")
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
        raise UsageError(
            f"no context class of kind {kind!r} (known: {known}): define or import it in workers, too; "
            f"if it was renamed, give it kind={kind!r}"
        )
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


_specs: dict[type[WorkerContext], tuple[Field, ...]] = {}


def _spec(cls: type[WorkerContext]) -> tuple[Field, ...]:
    if cls not in _specs:
        from ._fields.annotations import hints
        from ._fields.field import field_of

        _check_class(cls)
        annotations = hints(cls)
        found: Any = dataclasses.fields(cls)  # type: ignore[arg-type]
        own_codec = _has_own_codec(cls)
        _specs[cls] = tuple(field_of(cls, field, annotations[field.name], own_codec) for field in found)
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
    return cls.encode is not WorkerContext.encode and _has_own_decode(cls)


def _has_own_decode(cls: type[WorkerContext]) -> bool:
    return getattr(cls.decode, "__func__", cls.decode) is not vars(WorkerContext)["decode"].__func__


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
