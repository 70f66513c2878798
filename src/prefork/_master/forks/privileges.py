"""Dropping root privileges: for good, or for a moment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..._errors import SystemFailure
from ..._wire.launch import Identity


def drop(identity: Identity) -> None:
    """Become `identity` for good. Raises OSError, and SystemFailure if the process could become root again."""
    # Groups first: only root can set them.
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    if identity.uid == 0:
        return
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise SystemFailure(f"uid {identity.uid} can become root again: start the daemon without CAP_SETUID for this user")


@contextmanager
def acting_as(identity: Identity | None) -> Iterator[None]:
    """Have only this user's rights in the file system while the context lasts; None changes nothing."""
    if identity is None:
        yield
        return
    groups, own_group, own_user = os.getgroups(), os.getegid(), os.geteuid()
    os.setgroups(identity.groups)
    os.setegid(identity.gid)
    os.seteuid(identity.uid)
    try:
        yield
    finally:
        os.seteuid(own_user)
        os.setegid(own_group)
        os.setgroups(groups)
