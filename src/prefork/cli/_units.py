"""The units of systemd for a daemon; docs/systemd.md says why each line is there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_HOMES = tuple(f"/{name}/" for name in ("home", "root", "run/user"))
"""What ProtectHome=yes hides (systemd.exec(5))."""

_SERVICE = """\
[Unit]
Description={description}
After=network.target

[Service]
Type=notify
User={user}
WorkingDirectory={directory}
ExecStart={start}
ExecReload={reload}
RuntimeDirectory=prefork/{name}
RuntimeDirectoryMode=0700

KillMode=mixed
FileDescriptorStoreMax=512
Environment=FDSTORE=512
TimeoutStartSec={start_timeout:g}
TimeoutStopSec={stop_timeout:g}
WatchdogSec=30
OOMPolicy=continue
Restart=always
RestartPreventExitStatus=2

NoNewPrivileges=yes
{capabilities}
ProtectSystem=strict
{writable}ProtectHome={homes}
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallFilter=@chown
SystemCallErrorNumber=EPERM
UMask=0027

[Install]
WantedBy=multi-user.target
"""

_SOCKET = """\
[Unit]
Description=Sockets of {name}

[Socket]
{streams}
Backlog={backlog}
{nodelay}FileDescriptorName=http

[Install]
WantedBy=sockets.target
"""


@dataclass(frozen=True, slots=True)
class Service:
    """What the unit of a service says. Times are in seconds, paths absolute."""

    name: str
    user: str
    directory: str
    program: Sequence[str]
    """The words of the command `prefork`."""
    arguments: Sequence[str]
    """Those of `prefork run`."""
    start_timeout: float = 150
    stop_timeout: float = 60
    writes: Sequence[str] = ()
    """Folders in which it writes files."""
    low_ports: bool = False
    """Whether it binds a port that only root may bind otherwise."""


def service(unit: Service) -> str:
    """Return the unit of the service."""
    program = " ".join(map(_word, unit.program))
    at_home = any(f"{path}/".startswith(_HOMES) for path in (unit.directory, *unit.program))
    bind = "CAP_NET_BIND_SERVICE" if unit.low_ports else ""
    return _SERVICE.format(
        description=f"{unit.name.capitalize()}, served by prefork",
        user=unit.user,
        directory=_specifiers(unit.directory),
        start=f"{program} run {' '.join(map(_word, unit.arguments))}",
        reload=f"{program} reload",
        name=unit.name,
        start_timeout=unit.start_timeout,
        stop_timeout=unit.stop_timeout,
        capabilities=f"CapabilityBoundingSet={bind}" + (f"\nAmbientCapabilities={bind}" if bind else ""),
        writable="".join(f"ReadWritePaths={_word(path)}\n" for path in unit.writes),
        homes="read-only" if at_home else "yes",
    )


def socket(name: str, streams: Sequence[str], backlog: int) -> str:
    """Return the unit of the sockets; `streams` are addresses as ListenStream= takes them."""
    lines = "\n".join(f"ListenStream={_specifiers(stream)}" for stream in streams)
    nodelay = "" if all(stream.startswith(("/", "@")) for stream in streams) else "NoDelay=yes\n"
    return _SOCKET.format(name=name, streams=lines, backlog=backlog, nodelay=nodelay)


def _specifiers(text: str) -> str:
    """Return text in which systemd sees no specifier such as `%h`."""
    return text.replace("%", "%%")


def _word(text: str) -> str:
    """Return one word of a command line (systemd.service(5), "Command lines")."""
    escaped = _specifiers(text).replace("\\", "\\\\").replace("$", "$$").replace('"', '\\"')
    return escaped if re.fullmatch(r"[\w@%+=:,./*\[\]\\$-]+", escaped) else f'"{escaped}"'
