"""One field of a worker context: how its value is sent, and refused by the field's name."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NoReturn

import msgspec

from .._errors import UsageError
from .annotations import is_enum
from .descriptors import Finder, finder
from .json.carried import decoder as decoder_of

ENCODER = msgspec.json.Encoder(order="deterministic")  # Sets have no order: equal contexts must give equal bytes.


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the class `owner`."""

    owner: str
    name: str
    annotation: Any
    decoder: msgspec.json.Decoder[Any] | None
    refusal: str | None
    finder: Finder | None
    compared: bool
    travels: bool
    optional: bool
    """Whether a context is complete without its value: it is a parameter with a default."""

    def encoded(self, value: Any) -> msgspec.Raw:
        """Return a value as JSON. Raises UsageError where JSON would change it."""
        if self.compared and type(value) is not self.annotation:
            # 1 == True == 1.0, but their keys differ; and a key must not depend on a subclass's `__str__`.
            self._refuse(f"{value!r} is {type(value).__name__}, not {self.annotation.__name__}")
        if self.decoder is None:
            self._refuse(f"{self.refusal}")
        try:
            # The encoder can sort only keys that are strings, and would refuse a dict[int, str].
            data = ENCODER.encode(msgspec.to_builtins(value, str_keys=True, order="deterministic"))
            back = self.decoder.decode(data)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
            self._refuse(f"{short(value)} cannot be sent: {error}")
        if back != value:
            self._refuse(f"{short(value)} would arrive as {short(back)}")
        return msgspec.Raw(data)

    def decoded(self, data: msgspec.Raw) -> Any:
        """Return the value that was sent. Raises UsageError if it is not of this field's type."""
        if self.decoder is None:
            self._refuse(f"{self.refusal}")
        try:
            return self.decoder.decode(data)
        except msgspec.MsgspecError as error:
            self._refuse(f"{error}; if its type has changed, restart the daemon")

    def _refuse(self, why: str) -> NoReturn:
        raise UsageError(f"{self.owner}.{self.name}: {why}")


def field_of(cls: type, field: dataclasses.Field[Any], annotation: Any, own_codec: bool) -> Field:
    """Return a field of a context's class. Raises UsageError where it cannot be one; with `own_codec` any type can."""
    where = f"{cls.__qualname__}.{field.name}"
    if field.compare and not (annotation in (int, str, bool) or is_enum(annotation)):
        raise UsageError(
            f"{where}: a compared field is part of the worker's identity and must be int, str, bool or an Enum; "
            "for a parameter, use field(compare=False)"
        )
    if field.hash and not field.compare:
        raise UsageError(f"{where}: remove hash=True: a parameter is not part of the worker's identity")
    decoder, refusal = decoder_of(annotation)
    if refusal and not own_codec:
        raise UsageError(f"{where}: {refusal}")
    try:
        found = finder(annotation)
    except TypeError as error:
        raise UsageError(f"{where}: {error}") from None
    missing = dataclasses.MISSING
    optional = not field.compare and (field.default is not missing or field.default_factory is not missing)
    own = (cls.__qualname__, field.name, annotation, decoder, refusal, found, field.compare, field.init, optional)
    return Field(*own)


def short(value: Any) -> str:
    """Return a value as an error may have it."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
