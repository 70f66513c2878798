"""A worker's key, such as `web/0`: its kind and its identifying values.

Two contexts of one key are one worker with other parameters. Each value is percent-encoded, so that a slash inside a
value cannot make two different identities alike, and its type is checked, since Python itself holds 1, True and 1.0
to be equal while their texts differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum

from .._errors import UsageError

LONGEST = 48
"""The most bytes a key may have: it must fit into a process title and into its row of shared memory."""

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")

Identifying = int | str | bool | Enum


def kind_of(class_name: str) -> str:
    """Return the kind that a class's name gives: `HTTPServer` -> `http-server`."""
    kebab = ""
    for index, letter in enumerate(class_name):
        before, after = class_name[index - 1 : index], class_name[index + 1 : index + 2]
        starts_word = letter.isupper() and (before.islower() or before.isdigit() or after.islower())
        kebab += ("-" if starts_word and kebab and before != "_" else "") + letter.lower()
    return kebab.strip("_").replace("_", "-")


def key_of(kind: str, values: Iterable[Identifying]) -> str:
    """Return the key of a kind and its identifying values. Raises UsageError when it is over 48 bytes."""
    key = "/".join([_percent_encoded(kind), *(_percent_encoded(_text(value)) for value in values)])
    if len(key) > LONGEST:
        raise UsageError(f"the key {key!r} has {len(key)} bytes, more than {LONGEST}: use fewer or shorter fields")
    return key


def kind_in(key: str) -> str:
    """Return the kind that a key begins with."""
    first = key.partition("/")[0].encode()
    return re.sub(rb"%(..)", lambda code: bytes.fromhex(code[1].decode()), first).decode("utf-8", "surrogatepass")


def name_of(value: Enum) -> str:
    """Return the name of an enum's member, or its value where it has none: the 0 of a Flag, say."""
    name: str | None = value.name
    return str(value.value) if name is None else name


def order(key: str) -> list[tuple[int, str]]:
    """Return what to sort a key by: numbers by their value, so that web/10 comes after web/9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", key)]


def _text(value: Identifying) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return name_of(value)
    return str(value)


def _percent_encoded(text: str) -> str:
    # surrogatepass: an undecodable name (from a file system, say) cannot be sent, which is said when it is encoded.
    encoded = text.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in encoded)
