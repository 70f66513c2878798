"""Giving up root, for good."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .._errors import WorldError


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a process is to be: numeric user, group and supplementary groups."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def drop(identity: Identity) -> None:
    """Become `identity` for good. Raises OSError, and WorldError if root could be regained."""
    # Groups first: without root they can no longer be set.
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    if identity.uid == 0:
        return
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise WorldError(f"uid {identity.uid} can become root again: it holds CAP_SETUID")
