"""Whether the kernel has killed for want of memory: told from its own counter, never guessed."""

from __future__ import annotations


class OomCounter:
    """The out-of-memory kills of this process's control group, where the kernel counts them.

    `memory.events` of cgroup v2, `memory.oom_control` of v1 (Documentation/admin-guide/cgroup-v2.rst, "memory.events").
    """

    def __init__(self, root: str = "/sys/fs/cgroup", cgroups: str = "/proc/self/cgroup") -> None:
        self._files = _counters(root, cgroups)
        self._seen = self._count()

    def grown(self) -> bool:
        """Tell whether the kernel has killed for want of memory since this was last asked."""
        count = self._count()
        grown = count > self._seen
        self._seen = count
        return grown

    def _count(self) -> int:
        for path in self._files:
            try:
                with open(path, encoding="ascii") as file:
                    lines = [line.split() for line in file]
            except OSError:
                continue
            counts = [int(line[1]) for line in lines if len(line) == 2 and line[0] == "oom_kill"]
            if counts:
                return counts[0]
        return 0


def _counters(root: str, cgroups: str) -> list[str]:
    try:
        with open(cgroups, encoding="utf-8") as file:
            entries = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return []
    unified = [f"{root}{path}/memory.events" for _, controllers, path in entries if not controllers]
    legacy = [
        f"{root}/memory{path}/memory.oom_control"
        for _, controllers, path in entries
        if "memory" in controllers.split(",")
    ]
    return [*unified, *legacy]
