"""A Dockerfile carried out without Docker: each stage is an overlay over this machine's root, and `FROM` is ignored.

The instructions become a shell script for a mount namespace of its own. RUN is a chroot; the last stage is then mounted
read-only, and its command started as process 1 of a pid namespace, as the image's user, without capabilities.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

BASE = {"PATH": "/interpreter/bin:/usr/local/bin:/usr/bin:/bin", "LD_LIBRARY_PATH": "/interpreter/lib"}
"""What a base image sets: this interpreter is shown at a place that every user can go to."""
FIND = 'PIP_FIND_LINKS="/wheels $PIP_FIND_LINKS"'
PREPARED = """\
set -e
mount --make-rprivate /
mkdir -p stages
mount -t tmpfs none stages
stage() {{
    mkdir -p stages/$1/upper stages/$1/work stages/$1/merged
    mount -t overlay overlay -o lowerdir=/,upperdir=stages/$1/upper,workdir=stages/$1/work stages/$1/merged
    mount --rbind /dev stages/$1/merged/dev
    mount -t proc proc stages/$1/merged/proc
    mkdir -p stages/$1/merged/wheels stages/$1/merged/interpreter
    cp {wheel} stages/$1/merged/wheels
    mount --bind {prefix} stages/$1/merged/interpreter
}}
"""
LAST = """\
root=stages/{stage}/merged
umount $root/proc
mount -o remount,ro $root
mount -t tmpfs none $root/tmp
echo built
exec unshare --pid --fork --kill-child sh -euc '
    mount -t proc proc $0/proc
    exec chroot $0 setpriv --reuid {uid} --regid {gid} --clear-groups --bounding-set=-all --no-new-privs \\
        env -i {variables} sh -c "cd {directory}; exec {command}"
' $root
"""


@dataclass
class Image:
    """What the instructions have set when all are carried out."""

    uid: str = "0"
    gid: str = "0"
    directory: str = "/"
    variables: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield the instructions of a Dockerfile and their arguments."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^\s*#.*\n", "", text))
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        yield word, rest.strip()


def script(dockerfile: Path, wheel: Path, given: dict[str, str]) -> tuple[str, Image]:
    """Return the script and the image. `given`: variables as `docker run --env` gives them."""
    lines, stages = [PREPARED.format(wheel=wheel, prefix=sys.base_prefix)], dict[str, int]()
    image, number = Image(), -1
    for word, rest in instructions(dockerfile.read_text()):
        root = f"stages/{number}/merged"
        if word == "FROM":
            number += 1
            _, _, alias = rest.partition(" AS ")
            stages[alias] = number
            image = Image(variables=dict(BASE))
            lines.append(f"stage {number}")
        elif word == "ENV":
            for each in shlex.split(rest):
                name, _, value = each.partition("=")
                image.variables[name] = value.replace("$PATH", image.variables["PATH"])
        elif word == "WORKDIR":
            image.directory = rest
            lines.append(f"mkdir -p {root}{rest}")
        elif word == "COPY":
            lines.append(_copied(rest, root, image, stages, dockerfile.parent))
        elif word == "RUN":
            settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in image.variables.items())
            inner = f"cd {image.directory}; {rest}"
            lines.append(f"{FIND} chroot {root} env {settings} sh -euc {shlex.quote(inner)}")
        elif word == "USER":
            image.uid, image.gid = rest.split(":")
        elif word == "CMD":
            image.command = json.loads(rest)
        elif word == "HEALTHCHECK":
            image.health = json.loads(rest.partition("CMD ")[2])
        else:
            assert word == "EXPOSE", word
    variables = " ".join(f"{name}={value}" for name, value in (image.variables | given).items())
    command = shlex.join(image.command)
    lines.append(
        LAST.format(
            stage=number,
            uid=image.uid,
            gid=image.gid,
            variables=variables,
            directory=image.directory,
            command=command,
        )
    )
    return "\n".join(lines), image


def _copied(rest: str, root: str, image: Image, stages: dict[str, int], context: Path) -> str:
    """Return the command for a COPY from another stage, or from the context."""
    *flags, source, target = rest.split()
    place = f"{root}{target}" if target.startswith("/") else f"{root}{image.directory}/{target}"
    if flags:
        (alias,) = [flag.removeprefix("--from=") for flag in flags]
        return f"mkdir -p $(dirname {place}); cp -a stages/{stages[alias]}/merged{source} {place}"
    return f"cp -a {context}/{source} {place}"
