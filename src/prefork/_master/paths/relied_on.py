"""What a master that keeps root relies on: files and directories that no other user may be able to change."""

from __future__ import annotations

import os
import sys

from ..._errors import SystemFailure, UsageError
from ..._wire.launch import MasterLaunch
from . import trust

_PACKAGES = os.path.abspath(__file__).rsplit(os.sep, 4)[0]


def check(launch: MasterLaunch) -> None:
    """Raise UsageError if another user decides what root does, where the application has a user of its own.

    The application's files are its user's: they are read by that user only. But the code that root runs is root's, and
    so is what a file may say about root's rights. Otherwise the application's user would be root at the next start.
    """
    if launch.identity is None or os.geteuid() != 0:
        return
    code = "is part of what root runs: install prefork where only root can write"
    relied_on = {sys.executable: code, _PACKAGES: code, launch.libraries: code}
    for path, option in launch.relied_on.items():
        relied_on[path] = f"decides {option}, for which root is needed: give it on the command line"
    for path, why in relied_on.items():
        try:
            problem = trust.why_foreign(path)
        except OSError as error:
            raise SystemFailure(f"cannot check {path}: {error.strerror}") from None
        if problem is not None:
            raise UsageError(f"{path} {why}, or make it safe: {problem}")
