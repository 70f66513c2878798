"""One listening socket: opened at its address with its options."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import stat
import struct
from collections.abc import Callable

from ..._core.plan import Listener
from ..._linux.address import Address

ANY = ("*", "::")


def open_socket(address: Address, share_port: bool) -> socket.socket:
    """Bind a socket at a TCP, UDP or Unix address. Raises OSError.

    `share_port`: other sockets of ours may be bound there already. Otherwise it is bound exclusively, so that other
    programs cannot share it even with SO_REUSEPORT.
    """
    if address.scheme in ("unix", "abstract"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        name: object = address.text if address.scheme == "unix" else "\0" + address.text
    else:
        kind = socket.SOCK_DGRAM if address.scheme == "udp" else socket.SOCK_STREAM
        family, name = _resolve(address, kind)
        sock = socket.socket(family, kind, socket.IPPROTO_UDP if address.scheme == "udp" else socket.IPPROTO_TCP)
    try:
        if address.has_port:
            _prepare(sock, address, share_port)
        sock.bind(name)  # type: ignore[arg-type]
    except BaseException:
        sock.close()
        raise
    return sock


def open_beside(first: socket.socket) -> socket.socket:
    """Bind another socket where one of ours is bound. Raises OSError."""
    sock = socket.socket(first.family, first.type, first.proto)
    try:
        if first.family == socket.AF_INET6:
            only = first.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        if first.type == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        share_port(sock)
        sock.bind(first.getsockname())
    except BaseException:
        sock.close()
        raise
    return sock


def share_port(sock: socket.socket) -> None:
    """Let other sockets of ours be bound at the same address."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def listen(sock: socket.socket, listener: Listener) -> None:
    """Set the options of the listener and listen; also to change the options of a socket that listens."""
    if sock.type == socket.SOCK_STREAM:
        if sock.family != socket.AF_UNIX:
            # Accepted connections inherit the first; the second concerns those that are not accepted yet.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(listener.nodelay))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, listener.defer_accept)
        sock.listen(listener.backlog)
    sock.setblocking(False)


def count_listening(sock: socket.socket) -> int:
    """Return how many sockets listen at this one's address (UDP: are bound there), including itself.

    0 if /proc is not available.
    """
    table, state = ("tcp", "0A") if sock.type == socket.SOCK_STREAM else ("udp", "07")
    host, port = sock.getsockname()[:2]
    packed = socket.inet_pton(sock.family, host.partition("%")[0])
    words = "".join(f"{word:08X}" for (word,) in struct.iter_unpack("=I", packed))
    address = f"{words}:{port:04X}"
    try:
        with open(f"/proc/self/net/{table}{'6' if sock.family == socket.AF_INET6 else ''}", encoding="ascii") as file:
            lines = [line.split(None, 4) for line in file]
    except OSError:
        return 0
    return sum(1 for line in lines if line[1] == address and line[3] == state)


def _resolve(address: Address, kind: socket.SocketKind) -> tuple[socket.AddressFamily, object]:
    if address.host in ANY:
        if address.host == "*" and not _has_ipv6():
            return socket.AF_INET, ("0.0.0.0", address.port)
        return socket.AF_INET6, ("::", address.port)
    try:
        found = socket.getaddrinfo(address.host, address.port, type=kind, flags=socket.AI_PASSIVE)
    except UnicodeError:  # From the IDNA codec: a label that is empty or too long, or an invalid character.
        raise OSError(errno.EINVAL, f"{address.host} is not a valid host name") from None
    # IPv4 first: clients expect `localhost` at 127.0.0.1.
    family, _, _, _, name = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, name


def _has_ipv6() -> bool:
    """Return whether IPv6 sockets can be bound; some kernels and containers have no IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def _prepare(sock: socket.socket, address: Address, shared: bool) -> None:
    if sock.type == socket.SOCK_STREAM:  # For UDP it would share the port with any program that sets it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        share_port(sock)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address.host not in ANY))


# The path of a Unix socket.


def open_path(listener: Listener, path: str, even_live: bool) -> socket.socket:
    """Bind a Unix socket at a path, in place of one that no process holds. Raises OSError.

    `even_live`: replace the present one also if a process holds it, since that may be an orphan of ours. The mode is
    set by the umask, so that the path never has another one.
    """
    uid, gid = _owner(listener)
    _clear_stale(path, even_live)
    before = None if listener.mode is None else os.umask(0o777 & ~listener.mode)
    try:
        sock = open_socket(Address("unix", text=path), False)
    finally:
        if before is not None:
            os.umask(before)
    if (uid, gid) != (-1, -1):
        try:
            os.chown(path, uid, gid, follow_symlinks=False)
        except OSError as error:
            sock.close()
            unlink(path)
            raise OSError(error.errno, f"cannot set its owner or group: {error.strerror}") from None
    return sock


def change_path(path: str, ours: tuple[int, int], before: Listener, listener: Listener) -> None:
    """Change mode, owner and group of a path from those of the listener `before` to this one's.

    Does nothing if the path no longer is `ours` (device and inode). Raises OSError.
    """
    uid, gid = _owner(listener)
    mask = os.umask(0o077)
    os.umask(mask)
    try:
        place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        found = os.fstat(place)
        if (found.st_dev, found.st_ino) != ours:
            return
        # Through the descriptor: the path may name another file by now.
        same = f"/proc/self/fd/{place}"
        uid = os.geteuid() if before.owner and not listener.owner else uid
        gid = os.getegid() if before.group and not listener.group else gid
        os.chown(same, uid, gid)
        os.chmod(same, 0o777 & ~mask if listener.mode is None else listener.mode)
    except OSError as error:
        raise OSError(error.errno, f"cannot change its mode, owner or group: {error.strerror}") from None
    finally:
        os.close(place)


def _owner(listener: Listener) -> tuple[int, int]:
    """Return the uid and gid that a listener names, -1 for each that it does not name."""
    uid = _number(listener.owner, lambda name: pwd.getpwnam(name).pw_uid, "user")
    return uid, _number(listener.group, lambda name: grp.getgrnam(name).gr_gid, "group")


def _number(name: str, look_up: Callable[[str], int], what: str) -> int:
    if not name or name.isdecimal():
        return int(name or -1)
    try:
        return look_up(name)
    except KeyError:
        raise OSError(errno.EINVAL, f"there is no {what} {name!r}") from None


def _clear_stale(path: str, even_live: bool) -> None:
    """Remove the socket at a path if no process holds it, or also if one does (`even_live`).

    Raises OSError for one that a process holds, and for a file that is not a socket.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, "a file of this name exists that is not a socket")
    except FileNotFoundError:
        return
    # Connecting a datagram socket to a live stream socket fails with EPROTOTYPE, without a trace at the server. A real
    # connection that is closed at once can end a simple server.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        refused = probe.connect_ex(path) in (errno.ECONNREFUSED, errno.ENOENT)
    if not refused and not even_live:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    unlink(path)


def inode(path: str) -> tuple[int, int] | None:
    """Return the device and inode of a path, which show whether it was replaced; None if it does not exist."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def unlink(path: str) -> None:
    """Remove a path, if it exists."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # The program may have removed it.
