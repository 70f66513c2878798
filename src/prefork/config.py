"""Sources of a daemon's configuration, which the mold reads before each plan."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from msgspec import inspect as ms

from ._errors import UsageError, did_you_mean
from ._linux import regular_file

C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)


class Source(Protocol[C_co]):
    """A source of the configuration. A change of the file `watched` triggers a replan."""

    @property
    def watched(self) -> str | None:
        """The path to watch, or None."""

    def read(self) -> C_co:
        """Return the present configuration. Raises UsageError if it is invalid."""


class TomlFile(Generic[C]):
    """A TOML file, converted to a dataclass or msgspec struct of the application and validated."""

    def __init__(self, path: str | Path, shape: type[C], *, watch: bool = False) -> None:
        self._path = Path(path)
        self._shape = shape
        self._watch = watch

    @property
    def watched(self) -> str | None:
        """The absolute path if the file is watched, else None."""
        return str(self._path.absolute()) if self._watch else None

    def read(self) -> C:
        """Return the configuration. Raises UsageError with the file, the key and the reason."""
        try:
            data = tomllib.loads(regular_file.read(self._path).decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{self._path}: {error}") from None
        except OSError as error:
            raise UsageError(f"{self._path}: cannot be read: {error.strerror}") from None
        for unknown in _unknown(data, ms.type_info(self._shape), ""):
            raise UsageError(f"{self._path}: {unknown}")
        try:
            return msgspec.convert(data, self._shape)
        except msgspec.ValidationError as error:
            raise UsageError(f"{self._path}: {error}") from None


def toml_file(path: str | Path, shape: type[C], *, watch: bool = False) -> TomlFile[C]:
    """Read the configuration from a TOML file into `shape`, a dataclass or msgspec.Struct.

    An unknown key is an error that suggests the most similar one. `watch`: a change of the file triggers a replan, as
    `prefork replan` does (needs the extra `watch`).
    """
    return TomlFile(path, shape, watch=watch)


def _unknown(data: Any, node: ms.Type, where: str) -> Iterator[str]:
    """Yield an error for each key that the type does not have: a misspelt option must not silently have its default."""
    if isinstance(node, ms.UnionType):
        shapes = [part for part in node.types if isinstance(part, ms.DataclassType | ms.StructType)]
        node = shapes[0] if len(shapes) == 1 else node
    if isinstance(node, ms.DataclassType | ms.StructType) and isinstance(data, dict):
        fields = {field.encode_name: field.type for field in node.fields}
        for key, value in data.items():
            if key in fields:
                yield from _unknown(value, fields[key], f"{where}{key}.")
            else:
                yield f"there is no option {where}{key}" + did_you_mean(key, fields, where)
    elif isinstance(node, ms.ListType) and isinstance(data, list):
        for index, item in enumerate(data):
            yield from _unknown(item, node.item_type, f"{where.removesuffix('.')}[{index}].")
    elif isinstance(node, ms.DictType) and isinstance(data, dict):
        for key, value in data.items():
            yield from _unknown(value, node.value_type, f"{where}{key}.")
