"""The variables that the options give to the application."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .env_file import read

if TYPE_CHECKING:
    from ..table import Settings


def variables(settings: Settings, directory: str) -> dict[str, str]:
    """Return the variables of `--env-file`, and of `--env`, which win. Raises UsageError for a file that is wrong."""
    path = settings["env_file"]
    found = {} if path is None else read(os.path.join(directory, path), path)
    return found | dict(each.partition("=")[::2] for each in settings["env"] or ())
