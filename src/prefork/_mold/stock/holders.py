"""Which variable of which module leads to an object: how an object is named to the person who wrote the program."""

from __future__ import annotations

import ast
import gc
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from ..._records.record import record
from .origins import is_application

_MOST = 300_000
"""Objects that are visited at most: an application's own are found first."""


@record
class Holder:
    """`chain` leads from the value of the module's variable to the object, both included."""

    module: str
    variable: str
    chain: tuple[Any, ...]

    @property
    def name(self) -> str:
        """The variable, as the application writes it."""
        return f"{self.module}.{self.variable}"

    @property
    def words(self) -> str:
        """The variable and its type, for people."""
        of = type(self.chain[0])
        return f"{self.name} ({of.__module__.partition('.')[0]}.{of.__qualname__})"

    def place(self) -> str:
        """Return the line of the module that assigns the variable, as `FILE:LINE`; empty where there is none."""
        file = getattr(sys.modules.get(self.module), "__file__", None)
        try:
            with open(file or "") as source:
                tree = ast.parse(source.read())
        except (OSError, ValueError, SyntaxError):
            return ""
        lines = [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == self.variable
        ]
        return f"{file}:{lines[0]}" if lines else ""


def holders(targets: Iterable[Any]) -> dict[int, Holder]:
    """Return who holds each of these objects, by its id: the shortest way from a variable of a module.

    Those of the application come first. The types of what is visited are read, and never its attributes: a lazy proxy
    would run the application's code.
    """
    wanted = {id(target) for target in targets}
    found: dict[int, Holder] = {}
    modules = _modules()
    former: dict[int, Any] = {id(each): None for pair in modules for each in (pair[1], vars(pair[1]))}
    for group in (True, False):
        waiting: deque[tuple[Any, tuple[str, str, Any]]] = deque()
        for name, module in modules:
            if is_application(getattr(module, "__file__", None)) is group:
                for variable, value in list(vars(module).items()):
                    if id(value) not in former:
                        former[id(value)] = None
                        waiting.append((value, (name, variable, None)))
        _walk(waiting, former, wanted, found)
    return found


def _modules() -> list[tuple[str, ModuleType]]:
    """Return the modules that can hold something: not ours, nor that of finalizers, which are no one's variables."""
    return [
        (name, module)
        for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType) and name.partition(".")[0] not in ("prefork", "weakref", "gc")
    ]


def _walk(waiting: Any, former: dict[int, Any], wanted: set[int], found: dict[int, Holder]) -> None:
    while waiting and len(former) < _MOST and wanted - found.keys():
        value, link = waiting.popleft()
        if id(value) in wanted:
            found[id(value)] = _holder(value, link)
        if not gc.is_tracked(value) or isinstance(value, ModuleType):
            continue
        for referent in gc.get_referents(value):
            if id(referent) not in former:
                former[id(referent)] = None
                waiting.append((referent, (value, link)))


def _holder(value: Any, link: Any) -> Holder:
    chain = [value]
    while len(link) == 2:
        value, link = link
        chain.append(value)
    module, variable, _ = link
    return Holder(module, variable, tuple(reversed(chain)))


def objects_of(descriptors: Iterable[int]) -> Iterator[tuple[int, Any]]:
    """Yield each object that has one of these descriptors, by its own word: what it is called as, and the object."""
    wanted = set(descriptors)
    for value in gc.get_objects():
        method = getattr(type(value), "fileno", None)
        if method is None or isinstance(value, type):
            continue
        try:
            number = method(value)
        except Exception:  # It is closed, or not open yet, or has another idea of fileno().
            continue
        if isinstance(number, int) and number in wanted:
            yield number, value
