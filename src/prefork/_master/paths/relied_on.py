"""What a master that keeps root relies on: files and directories that no other user may be able to change."""

from __future__ import annotations

import os
import sys

from ..._errors import SystemFailure, UsageError
from ..._records.members import replace
from ..._wire.launch import MasterLaunch
from . import trust

_PACKAGES = os.path.abspath(__file__).rsplit(os.sep, 4)[0]


def checked(launch: MasterLaunch) -> MasterLaunch:
    """Raise UsageError if another user decides what root does, where the application has a user of its own.

    The application's files are its user's: they are read by that user only. But the code that root runs is root's, and
    so is what a file may say about root's rights. Otherwise the application's user would be root at the next start.
    Returns the launch, where an address that another user decides is not the operator's.
    """
    if launch.identity is None or os.geteuid() != 0:
        return launch
    code = (
        "is part of what root runs: install prefork where only root can write, and name no other folder in PYTHONPATH"
    )
    relied_on = dict.fromkeys(filter(None, (sys.executable, _PACKAGES, launch.libraries, *launch.code)), code)
    for path, option in launch.relied_on.items():
        relied_on[path] = f"decides {option}, for which root is needed: give it on the command line"
    for path, why in relied_on.items():
        if (problem := _why_foreign(path)) is not None:
            raise UsageError(f"{path} {why}, or make it safe: {problem}")
    if launch.named_in is not None and _why_foreign(launch.named_in) is not None:
        return replace(launch, addresses=())
    return launch


def _why_foreign(path: str) -> str | None:
    try:
        return trust.why_foreign(path)
    except OSError as error:
        raise SystemFailure(f"cannot check {path}: {error.strerror}") from None
