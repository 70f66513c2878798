"""A profile as a tree of calls, and its functions by their share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["own", "library", "server", "standard", "none"]
"""Whose code a function is: the application's, an installed package's, prefork's, or of the standard library."""

_FRAME = re.compile(r"(.*) \((.*):(\d+)\)$")
_STANDARD = re.compile(r"/lib(64)?/python3\.\d+t?/(?!site-packages|dist-packages)|^<frozen |^<string>$")
_PACKAGES = re.compile(r".*/(site|dist)-packages/")
_DEEPEST = 400
"""Calls in a stack that are shown: a page draws by recursion."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function; `file` is empty for what is none, as a slot."""

    name: str
    file: str = ""

    @property
    def kind(self) -> Kind:
        """Whose code it is."""
        if not self.file:
            return "none"
        if "/prefork/" in self.file and re.search(r"/prefork/(adapters|_\w+)/", self.file):
            return "server"
        if _PACKAGES.match(self.file):
            return "library"
        return "standard" if _STANDARD.search(self.file) else "own"

    @property
    def place(self) -> str:
        """Its file, below the folder of installed packages where it is there."""
        return _PACKAGES.sub("", self.file)


@dataclass(slots=True)
class Node:
    """A function under its callers: samples in it and in what it calls, and in itself alone, by line."""

    function: Function
    samples: int = 0
    alone: int = 0
    lines: Counter[int] = field(default_factory=Counter)
    calls: dict[Function, Node] = field(default_factory=dict)

    @property
    def line(self) -> int:
        """The line that it was in most often; 0 for what has none."""
        return max(self.lines, key=lambda line: self.lines[line], default=0)


def tree(stacks: Mapping[str, int]) -> Node:
    """Return the root of all stacks, `frame;frame;frame` with the outermost first."""
    root = Node(Function("all"))
    for stack, count in stacks.items():
        node, root.samples = root, root.samples + count
        for frame in stack.split(";")[:_DEEPEST]:
            function, line = parsed(frame)
            node = node.calls.setdefault(function, Node(function))
            node.samples += count
            if line:
                node.lines[line] += count
        node.alone += count
    return root


def parsed(frame: str) -> tuple[Function, int]:
    """Return the function and the line of a frame, `name (file:line)`."""
    if match := _FRAME.match(frame):
        return Function(match[1], match[2]), int(match[3])
    return Function(frame), 0


@dataclass(frozen=True, slots=True)
class Share:
    """A function with its samples: in itself alone, and with what it calls, each sample once."""

    function: Function
    alone: int
    with_calls: int


def shares(stacks: Mapping[str, int]) -> list[Share]:
    """Return every function of the stacks, those with most samples in themselves first."""
    alone: Counter[Function] = Counter()
    with_calls: Counter[Function] = Counter()
    for stack, count in stacks.items():
        functions = [parsed(frame)[0] for frame in stack.split(";")]
        alone[functions[-1]] += count
        for function in _once(functions):
            with_calls[function] += count
    found = [Share(function, alone[function], total) for function, total in with_calls.items() if function.file]
    return sorted(found, key=lambda share: (-share.alone, -share.with_calls, share.function.name))


def _once(functions: Iterable[Function]) -> Iterable[Function]:
    return dict.fromkeys(functions)
