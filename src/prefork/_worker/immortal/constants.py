"""Constants of code that has run before they became immortal.

CPython 3.14 replaces the instruction `LOAD_CONST` at its first run by one for immortal or one for mortal constants. The
latter counts a reference without a look whether the constant is immortal, while taking the reference back does look:
the count would rise with each run until it wraps, after 161 s in a fast loop, and the constant would be freed in use.
Other versions have no such instruction.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import CodeType


def settle(codes: Iterable[CodeType]) -> None:
    """Let code that has run load its constants as immortal ones. All of its constants must be."""
    try:
        metadata = importlib.import_module("_opcode_metadata")
    except ImportError:
        return  # CPython 3.12
    mortal = metadata._specialized_opmap.get("LOAD_CONST_MORTAL")
    if mortal is None:
        return
    from ctypes import c_uint8

    immortal, plain = metadata._specialized_opmap["LOAD_CONST_IMMORTAL"], metadata.opmap["LOAD_CONST"]
    for code in codes:
        for at in _units(code._co_code_adaptive, mortal):  # type: ignore[attr-defined]
            # In `co_code` there are zeros where the instructions have their caches, which may contain any byte.
            if code.co_code[at] == plain:
                c_uint8.from_address(id(code) + CodeType.__basicsize__ + at).value = immortal


def _units(instructions: bytes, operation: int) -> Iterable[int]:
    """Return the places of this byte where an instruction may begin: each is of two bytes."""
    at = instructions.find(operation)
    while at >= 0:
        if at % 2 == 0:
            yield at
        at = instructions.find(operation, at + 1)
