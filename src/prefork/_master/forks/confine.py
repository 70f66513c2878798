"""A child that becomes the application's user: what it does not get of root and of root's session.

That is root's rights and ways to gain them again, keys, agents, buses, and what is typed at the terminal.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Mapping, Sequence

from ..._errors import SystemFailure
from ..._wire.launch import Identity

_PR_SET_NO_NEW_PRIVS = 38  # <linux/prctl.h>
_JOIN_SESSION_KEYRING = 1  # <linux/keyctl.h>
_KEYCTL = {"x86_64": 250, "i686": 288, "armv7l": 311, "ppc64le": 271, "s390x": 280}
"""The number of keyctl(2), for which libc has no function; everywhere else that of <asm-generic/unistd.h>."""
_KEYCTL_ELSEWHERE = 219

_AGENTS = ("SSH_AUTH_SOCK", "SSH_AGENT_PID", "GPG_AGENT_INFO", "KRB5CCNAME", "XAUTHORITY")
_SESSION = ("DBUS_", "SUDO_", "XDG_")


def become_user(identity: Identity | None, new_privileges: bool) -> None:
    """Become the application's user for good; None changes nothing.

    To be called in each child of the master that runs code or reads data of this user, before it does. It may gain no
    privileges by exec, but with `new_privileges`. Raises OSError, and SystemFailure if it could become root again.
    """
    if identity is not None:
        _close_for_reading((1, 2))  # As root still.
        _drop(identity)
        _confine(new_privileges)


def _drop(identity: Identity) -> None:
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


def _confine(new_privileges: bool) -> None:
    """Give this process a session keyring of its own, and no way to gain privileges, unless it may.

    Never in the master: ctypes costs half a megabyte, and the standard library has neither call.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    number = _KEYCTL.get(os.uname().machine, _KEYCTL_ELSEWHERE)
    # Where it fails, the kernel has no keyrings, or a container keeps all of its processes from them.
    libc.syscall(ctypes.c_long(number), ctypes.c_long(_JOIN_SESSION_KEYRING), None)
    if not new_privileges and libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses no_new_privs: start the daemon with --new-privileges")


def _close_for_reading(streams: Sequence[int]) -> None:
    """Have these descriptors for writing only: a terminal is usually open for both, and gives out what root types.

    A socket cannot be opened again, and stays as it is.
    """
    for stream in streams:
        try:
            if fcntl.fcntl(stream, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR:
                again = os.open(f"/proc/self/fd/{stream}", os.O_WRONLY | os.O_APPEND | os.O_NOCTTY)
                os.dup2(again, stream)
                os.close(again)
        except OSError as error:  # Closed, a socket, or without /proc; else it would stay open for reading.
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise


def without_agents(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what leads to the agents, buses and directories of the session that root is in."""
    return {name: value for name, value in environ.items() if name not in _AGENTS and not name.startswith(_SESSION)}
