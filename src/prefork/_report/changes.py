"""The sorts of changes and their stages, as a status and the counts name them."""

from __future__ import annotations

from typing import get_args

from .._core.change import ChangeStage, What

SORTS = (*get_args(What), "scale", "upgrade")
"""What is counted when it ends. A preview changes nothing, and after a stop no process reads the counts."""

STAGES = ("none", *(each for each in get_args(ChangeStage) if each != "queued"), "baking")
"""What is under way: nothing, or a change in one of its stages."""
