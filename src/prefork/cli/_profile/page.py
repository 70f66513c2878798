"""The flame graph as one HTML file, which loads nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from html import escape
from typing import Any

from .tree import Node, Share, shares, tree

_KINDS = ("own", "library", "server", "standard", "none")
_ROWS = 25
_LEAST = 1 / 5000
"""The least share of a function that is drawn: a bar of a quarter of a pixel."""


def page(profile: Mapping[str, Any], title: str) -> str:
    """Return the page of a profile."""
    stacks: dict[str, int] = profile["stacks"]
    root = tree(stacks)
    data = json.dumps(_node(root, root.samples * _LEAST), separators=(",", ":"))
    with open(os.path.join(os.path.dirname(__file__), "page.html"), encoding="utf-8") as file:
        text = file.read()
    parts = {
        "TITLE": escape(title),
        "HEAD": escape(title),
        "ABOUT": escape(about(profile)),
        "ROWS": "".join(_row(share, root.samples) for share in shares(stacks)[:_ROWS]),
        # In a script element: a name in it may not end that.
        "DATA": data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"),
    }
    for name, part in parts.items():
        before, _, after = text.partition(name)
        text = before + part + after
    return text


def about(profile: Mapping[str, Any]) -> str:
    """Return in a sentence or two how a profile was taken."""
    workers: dict[str, dict[str, Any]] = profile["workers"]
    samples = sum(int(worker["samples"]) for worker in workers.values())
    missed = sum(int(worker["missed"]) for worker in workers.values())
    counted = sum(profile["stacks"].values())
    of = next(iter(workers)) if len(workers) == 1 else f"{len(workers)} workers"
    text = f"{of}, {profile['seconds']:g} s, {samples} samples by {profile['by']}, {counted} with a thread that runs"
    if missed:
        text += f"; {missed} could not be read"
    if not profile["complete"]:
        text += ". Python 3.14 reads no callers beyond a call from C; 3.15 and py-spy do"
    return text


def _node(node: Node, least: float) -> list[Any]:
    """Return a node as the page's script reads it; what is too small to be seen is left out."""
    calls = [_node(call, least) for call in sorted(node.calls.values(), key=_name) if call.samples >= least]
    function = node.function
    return [function.name, function.place, _KINDS.index(function.kind), node.samples, node.alone, node.line, calls]


def _name(node: Node) -> tuple[str, str]:
    return node.function.name, node.function.file


def _row(share: Share, total: int) -> str:
    alone, with_calls = (f"{100 * part / total:.1f} %" for part in (share.alone, share.with_calls))
    function = share.function
    return f"<tr><td>{alone}</td><td>{with_calls}</td><td>{escape(function.name)} ({escape(function.place)})</td></tr>"
