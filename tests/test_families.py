"""The families of metrics: what is made of a daemon, in both formats of Prometheus, and their list in the docs."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

import prefork
from daemon_seen import seen, stage
from prefork._agent.families.collector import DaemonCollector
from prefork._agent.families.family import Family, Sample
from prefork._agent.families.limits import limits
from prefork._agent.families.listed import SUBJECTS, samples
from prefork._agent.families.seen import Limits, Seen
from prefork._core.change import ChangeStage, What
from prefork._report.changes import SORTS, STAGES
from prefork.scoreboard import Histogram, Measures, Reading

DOCS = Path(__file__).parent.parent / "docs"
FAMILIES = [family for _, families in SUBJECTS for family in families]


@pytest.fixture(scope="module")
def daemon() -> Seen:
    return seen(stage())


def values(seen: Seen, name: str) -> dict[tuple[str, ...], object]:
    return {sample.labels: sample.value for sample in samples(seen, "1.0") if sample.family.shown == name}


def exposed(seen: Seen) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(DaemonCollector(lambda: seen))
    return registry


def test_every_family_has_a_sample_and_no_other_is_made(daemon: Seen) -> None:
    found = {sample.family for sample in samples(daemon, "1.0")}
    assert found == set(FAMILIES)
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_every_sort_of_change_that_is_announced_is_counted() -> None:
    core = "".join(path.read_text() for path in (Path(prefork.__file__).parent / "_core").rglob("*.py"))
    announced = set(re.findall(r'Announce\("(\w+)"', core)) | {*get_args(What)}
    assert announced - {"stop"} == set(SORTS)
    assert {*get_args(ChangeStage), "baking", "none"} - {"queued"} == set(STAGES)


def test_names_and_labels_are_those_of_the_conventions() -> None:
    for family in FAMILIES:
        assert re.fullmatch(r"prefork_[a-z_]+[a-z]", family.name)
        assert not family.name.endswith(("_total", "_info", "_count", "_sum", "_bucket"))
        assert not set(family.labels) & {"pid", "job", "instance", "le"}
        assert family.help.endswith(".")
        assert not re.search(r"_(ms|milliseconds|kb|mb|percent)\b", family.name)


def test_both_formats_are_read_back_as_they_were_made(daemon: Seen) -> None:
    registry = exposed(daemon)
    text = list(parse(generate_latest(registry).decode()))
    metrics = list(parse_openmetrics(generate_openmetrics(registry).decode()))  # type: ignore[no-untyped-call]
    assert {each.name for each in metrics} == {family.name for family in FAMILIES}
    assert {each.name: each.unit for each in metrics} == {family.name: family.unit for family in FAMILIES}
    assert {each.name: each.type for each in metrics} == {family.name: family.kind for family in FAMILIES}
    assert all(each.documentation for each in metrics)
    read = {(one.name, *sorted(one.labels.items())): one.value for each in text for one in each.samples}
    made = {(one.name, *sorted(one.labels.items())): one.value for each in metrics for one in each.samples}
    assert read == made


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool of Prometheus is not installed")
def test_promtool_accepts_names_and_help(daemon: Seen) -> None:
    text = generate_latest(exposed(daemon))
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_registering_reads_nothing() -> None:
    def look() -> Seen:
        raise AssertionError("nobody has asked")

    CollectorRegistry().register(DaemonCollector(look))


def test_buckets_are_cumulative_and_lose_no_value() -> None:
    family = Family("prefork_x_seconds", "histogram", "Help.", "look", step=2)
    histogram = Histogram((0.5, 1.0, 1.0000004, 2.0), (1, 2, 3, 4, 5), 9.0)
    assert family.buckets(histogram) == [(0.5, 1), (1.0, 6), (inf, 15)]


def test_percentile_of_the_buckets_is_within_a_fifth(daemon: Seen) -> None:
    duration = next(family for family in FAMILIES if family.name == "prefork_request_duration_seconds")
    bounds = [bound for bound, _ in duration.buckets(Measures().latency)]
    assert all(high / low < 1.2 for low, high in pairwise(bounds[:-1]))
    assert bounds[0] <= 0.0005
    assert bounds[-2] >= 60


def test_requests_are_counted_by_class_and_generation(daemon: Seen) -> None:
    assert values(daemon, "prefork_requests_total")[("5xx",)] == 5
    assert values(daemon, "prefork_generation_requests_total")["2", "5xx"] == 10
    assert values(daemon, "prefork_client_disconnects_total") == {(): 1}


def test_ends_hangs_and_pauses_are_those_of_the_journal(daemon: Seen) -> None:
    ended = values(daemon, "prefork_workers_ended_total")
    assert {cause: count for (pool, cause), count in ended.items() if count} == {"crash": 2, "hang": 1, "start": 1}
    assert ended["web", "out_of_memory"] == 0  # From the start, so that the first one is an increase.
    hung = values(daemon, "prefork_workers_hung_total")
    assert (hung["web", "deadlock"], hung["web", "gil_held"]) == (1, 0)
    assert values(daemon, "prefork_worker_failures")[("web/1",)] == 2
    assert ("web/1",) in values(daemon, "prefork_worker_retry_timestamp_seconds")


def test_workers_are_those_of_the_application(daemon: Seen) -> None:
    assert values(daemon, "prefork_workers_wanted") == {("web",): 3}
    assert values(daemon, "prefork_workers_serving") == {("web",): 1}
    names = {value for sample in samples(daemon, "1.0") for value in sample.labels}
    assert not names & {"agent/0", "agent"}


def test_listeners_and_limits_are_those_of_the_machine(daemon: Seen) -> None:
    assert values(daemon, "prefork_listen_queue_connections") == {("http",): 7}
    assert values(daemon, "prefork_listen_queue_longest") == {("http",): 4}
    assert values(daemon, "prefork_memory_limit_bytes") == {(): 1 << 30}
    assert not values(replace(daemon, limits=Limits()), "prefork_memory_limit_bytes")


def test_target_that_is_no_text_fails_no_scrape(daemon: Seen) -> None:
    assert daemon.status is not None
    odd = replace(daemon, status={**daemon.status, "target": "caf\udce9:app"})
    assert b'target="caf?:app"' in generate_latest(exposed(odd))


def test_silent_master_leaves_the_requests(daemon: Seen) -> None:
    alone = replace(daemon, status=None)
    assert values(alone, "prefork_master_up") == {(): 0}
    assert values(alone, "prefork_requests_total") == values(daemon, "prefork_requests_total")
    assert not values(alone, "prefork_workers")


def test_unreadable_scoreboard_leaves_the_workers(daemon: Seen) -> None:
    alone = replace(daemon, reading=None)
    assert values(alone, "prefork_workers_wanted") == {("web",): 3}
    assert not values(alone, "prefork_requests_total")  # No zeros: a counter would seem to begin again.


def test_number_of_series_does_not_grow_with_processes(daemon: Seen) -> None:
    reading = daemon.reading
    assert reading is not None
    twice = replace(
        reading, processes=(*reading.processes, *(replace(one, pid=one.pid + 1000) for one in reading.processes))
    )

    def series(seen: Seen) -> list[tuple[str, tuple[str, ...]]]:
        return [(sample.family.name, sample.labels) for sample in samples(seen, "1.0")]

    assert series(replace(daemon, reading=twice)) == series(daemon)
    assert len(series(daemon)) == len(set(series(daemon)))


def test_daemon_that_has_just_started_has_its_zeros() -> None:
    empty = Reading(0.0, 0, 0, (), {})
    made = list(samples(Seen(empty, None), "1.0"))
    assert Sample(made[0].family, 0, ("none",)) == made[0]
    assert {sample.family.name for sample in made} >= {"prefork_requests", "prefork_master_up"}


@pytest.mark.parametrize("unified", [True, False])
def test_smallest_limit_above_the_group_counts(tmp_path: Path, unified: bool) -> None:
    kind = "cgroup2 cgroup2 rw" if unified else "cgroup cgroup rw,cpu,memory"
    (tmp_path / "cgroup").write_text("0::/a/b\n" if unified else "4:cpu,memory:/a/b\n")
    (tmp_path / "mountinfo").write_text(f"30 23 0:26 / /sys/fs/cgroup rw - {kind}\n")
    folder = tmp_path / "sys/fs/cgroup/a/b"
    folder.mkdir(parents=True)
    current, most = ("memory.current", "memory.max") if unified else ("memory.usage_in_bytes", "memory.limit_in_bytes")
    (folder / current).write_text("1000\n")
    (folder / most).write_text("max\n" if unified else "9223372036854771712\n")
    (folder.parent / current).write_text("5000\n")
    (folder.parent / most).write_text("8000\n")
    (folder / "cpu.stat").write_text("throttled_usec 1500000\n" if unified else "throttled_time 1500000000\n")
    assert limits(str(tmp_path), str(tmp_path)) == Limits(1000, 8000, 1.5)


def test_limits_without_control_groups_are_unknown(tmp_path: Path) -> None:
    assert limits(str(tmp_path), str(tmp_path)) == Limits()


def test_list_of_the_document_is_current() -> None:
    spec = importlib.util.spec_from_file_location("make_metrics", DOCS / "make_metrics.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    page = (DOCS / "metrics.md").read_text()
    assert maker.with_list(page) == page, "run: python docs/make_metrics.py"
    named = set(re.findall(r"\bprefork_[a-z_]+", page)) - {"prefork_"}
    known = {family.shown + end for family in FAMILIES for end in ("", "_bucket", "_sum", "_count")}
    assert named <= known
