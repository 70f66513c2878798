"""Decides for the hooks interface: which hook is called when, and what follows when one raises or a worker fails."""

from .children import HEALTHY as HEALTHY
from .hook_decider import HookDecider as HookDecider
from .hook_decider import running as running
from .pauses import LONGEST_DELAY as LONGEST_DELAY
from .pauses import PATIENCE as PATIENCE
