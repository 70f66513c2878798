"""All tools, and the setting that a name is in any of them."""

from __future__ import annotations

from collections.abc import Mapping

from .granian import GRANIAN
from .gunicorn import GUNICORN
from .hypercorn import HYPERCORN
from .setting import Setting, Tool
from .supervisor import SUPERVISOR
from .uvicorn import UVICORN
from .uwsgi import UWSGI

TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in (GUNICORN, UVICORN, GRANIAN, HYPERCORN, UWSGI, SUPERVISOR)}


def setting_of(name: str) -> Setting | None:
    """Return the setting that a flag, or a key of a file, is in the first tool that has it."""
    is_short = name.startswith("-") and not name.startswith("--")
    for tool in TOOLS.values():
        for each in tool.settings:
            if name in each.flags or (not is_short and _word(name) in map(_word, (*each.keys, *each.flags))):
                return each
    return None


def _word(name: str) -> str:
    return name.removeprefix("--").replace("-", "_")
