"""The sentence at the top: whether the daemon is well, and if not which worker, since when and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..._report.sentences import sentence
from ..._report.units import counted
from .figures import Figures
from .history import History

Level = Literal["well", "busy", "watch", "bad"]
"""`busy`: a start, a stop or a change of workers that goes as it should. `watch`: served, but not as it should be."""

_ORDER: tuple[Level, ...] = ("well", "busy", "watch", "bad")

ERROR_SHARE, ENOUGH = 0.05, 20
"""The share of failed requests that is named, and the number of requests that such a share needs."""

STORM, MINUTE = 3, 60.0
"""Seconds: crashes within this time are named together."""

MOST_REASONS = 6


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason why the daemon is not well. `slot` is empty if it is about all; `since` in seconds since 1970."""

    level: Level
    slot: str
    text: str
    since: float | None = None
    incident: int = 0


def verdict(status: Mapping[str, Any], history: History, figures: Figures, now: float) -> dict[str, Any]:
    """Return `level`, `headline`, `reasons`, the worst first, and how many workers are `ready` of those `wanted`."""
    reasons = [*_workers(status, history), *_setback(history), *_requests(figures), *_crashes(status, history, now)]
    reasons.sort(key=lambda reason: -_ORDER.index(reason.level))
    more = len(reasons) - MOST_REASONS
    shown = [asdict(reason) for reason in reasons[:MOST_REASONS]]
    if more > 0:
        shown.append(asdict(Reason("watch", "", f"and {counted(more, 'more reason')}: see the workers")))
    level, headline = _headline(status, reasons)
    ready, wanted = served(status)
    return {"level": level, "headline": headline, "reasons": shown, "ready": ready, "wanted": wanted}


def _headline(status: Mapping[str, Any], reasons: list[Reason]) -> tuple[Level, str]:
    ready, wanted = served(status)
    worst: Level = reasons[0].level if reasons else "well"
    if status["stopping"]:
        return "busy", "Stopping"
    if not status["generation"]:
        return "busy", "Starting"
    if worst in ("watch", "bad") or ready < wanted:
        count = f"{ready} of {wanted} workers ready"
        level: Level = "bad" if not ready and wanted else "watch" if worst == "well" else worst
        return level, f"{count}, {counted(len(reasons), 'problem')}" if reasons else count
    count = "The worker is ready" if wanted == 1 else f"All {wanted} workers are ready"
    if (change := status["change"]) and change["what"] != "preview":
        return "busy", f"{count}, {change['what']} under way"
    return "well", count if wanted else "No worker is planned"


def served(status: Mapping[str, Any]) -> tuple[int, int]:
    """Return the number of slots with a ready worker, and of slots that should have one."""
    wanted = [slot for slot in status["slots"] if _counts(slot)]
    return sum(1 for slot in wanted if slot["serving"]), len(wanted)


def _counts(slot: Mapping[str, Any]) -> bool:
    return slot["state"] not in ("finished", "leaving") and not slot["auxiliary"]


def _workers(status: Mapping[str, Any], history: History) -> Iterator[Reason]:
    for slot in status["slots"]:
        pid = slot["pid"]
        if slot["auxiliary"]:
            continue
        if pid in history.hung:
            yield _hung(slot["key"], history.hung[pid])
        elif pid in history.stopped:
            record = history.stopped[pid]
            yield Reason("bad", slot["key"], f"stopped by signal {record['signal']}", record["time"])
        elif not slot["serving"] and _counts(slot) and not slot["exchanging"] and status["generation"]:
            yield _unserved(slot)
        elif slot["state"] == "degraded":
            yield Reason("watch", slot["key"], f"failed {slot['failures']} times in a row")
    for mold in status["molds"]:
        if mold["failures"] > 1 or mold["failed_forks"] > 1:
            yield Reason("watch", "", f"no worker can be replaced: {mold['reason']}", mold["since"])


def _hung(key: str, record: Mapping[str, Any]) -> Reason:
    doing = f", {record['doing']}" if record.get("doing") else ""
    text = f"{record['verdict'].replace('_', ' ')}{doing}"
    since = record["time"] - record["seconds"]
    if record["event"] == "hung":
        return Reason("bad", key, f"hangs: {text}", since, record["number"])
    return Reason("watch", key, f"a request makes no progress: {text}", since, record["number"])


def _unserved(slot: Mapping[str, Any]) -> Reason:
    last = f"; last one {slot['last_exit']}" if slot["last_exit"] else ""
    often = f" after {counted(slot['failures'], 'failure')} in a row" if slot["failures"] > 1 else ""
    state = "waits for its next start" if slot["pid"] is None else slot["state"]
    return Reason("bad" if slot["failures"] > 1 else "watch", slot["key"], f"{state}{often}{last}", slot["since"])


def _setback(history: History) -> Iterator[Reason]:
    if record := history.setback:
        yield Reason("watch", "", sentence(record).partition("\n")[0], record.get("time"), record["number"])


def _requests(figures: Figures) -> Iterator[Reason]:
    ended, failed = figures.errors()
    if ended >= ENOUGH and failed >= ERROR_SHARE * ended:
        steps = int(failed / ended / ERROR_SHARE)  # A figure of each second would be read out each second.
        yield Reason("watch", "", f"at least {steps * ERROR_SHARE:.0%} of the requests of the last ten seconds failed")


def _crashes(status: Mapping[str, Any], history: History, now: float) -> Iterator[Reason]:
    slots = {slot["key"] for slot in status["slots"] if not slot["auxiliary"]}
    number, most = history.crashes(slots, now - MINUTE)
    if number >= STORM:
        yield Reason("bad", "", f"{number} workers crashed in the last minute{'; ' + most if most else ''}")
