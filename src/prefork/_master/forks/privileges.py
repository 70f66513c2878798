"""The rights of the application's user in the file system, for a moment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..._wire.launch import Identity


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
