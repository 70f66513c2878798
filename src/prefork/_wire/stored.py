"""What a master has the service manager's descriptor store hold for the next one: names, and messages of sd_notify(3).

A name says what the descriptor is, and has its inode, so that no two have one name: the manager removes by name, and
keeps the first descriptor where it gets one twice. The manager passes it back beside the sockets of socket units, which
have other names.
"""

from __future__ import annotations

_OURS = "prefork-stored-"


def name_of(what: str, inode: int) -> str:
    """Return the name of a descriptor; `what`: its kind, or the name of a file of the runtime directory."""
    return f"{_OURS}{what}-{inode}"


def is_ours(name: str) -> bool:
    """Return whether a descriptor of this name comes from the store, and not from a socket unit."""
    return name.startswith(_OURS)


def what_is(name: str) -> str:
    """Return what a descriptor of this name is: the `what` of `name_of`."""
    return name.removeprefix(_OURS).rpartition("-")[0]


def storing(name: str) -> bytes:
    """Return the message that goes with a descriptor that is to be stored.

    The manager must not poll it: a pipe hangs up when its writer, the master, dies, and a datagram socket may report an
    error of the network. Both would be removed just when they are needed. The master removes by itself what has gone.
    """
    return f"FDSTORE=1\nFDPOLL=0\nFDNAME={name}".encode()


def removing(name: str) -> bytes:
    """Return the message that has a descriptor removed."""
    return f"FDSTOREREMOVE=1\nFDNAME={name}".encode()


def barrier() -> bytes:
    """Return the message with a pipe that the manager closes when it has read all messages before (systemd 246)."""
    return b"BARRIER=1"
