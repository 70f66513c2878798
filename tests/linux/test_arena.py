"""The arena of application metrics: keys that all processes share, columns that go on, what readers make of them."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefork._wire import scoreboard
from prefork._wire.metrics import arena as memory
from prefork._wire.metrics import exemplars, families
from prefork._wire.metrics import table as tables
from prefork._wire.metrics.arena import Arena
from prefork._wire.metrics.exemplars import Exemplar
from prefork._wire.metrics.occupants import Occupant, Occupants
from prefork._wire.metrics.table import Key, NoRoomError, Series, Table
from prefork._wire.scoreboard import Scoreboard
from prefork._worker.metrics.counting import Counting

HITS = Key("counter", "hits", ("path",), "")
TOTAL = ("_total", ("/",))
BOARD = Scoreboard(scoreboard.create(1))
PATIENCE = 20


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = memory.create()
    yield made
    os.close(made)


def rows(*slots: str, generation: int = 1, alive: bool = True) -> Occupants:
    return {row: Occupant(slot, generation, alive, float(row)) for row, slot in enumerate(slots)}


def read(descriptor: int, occupants: Occupants | None = None) -> dict[str, float]:
    """Return all samples as `name{label=value}`, without when they were created."""
    found = {}
    for family in families.read(Table(Arena(descriptor)), rows("web/0") if occupants is None else occupants):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            if not sample.name.endswith("_created"):
                found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def gauge(worker: Counting, mode: str, *, value: float | None = None, at: float = 100.0) -> None:
    series = worker.place(Key("gauge", "size", (), mode), "Size.", ("", ()))
    assert series is not None
    if value is not None:
        worker.cells[series.cell], worker.cells[series.cell + 1] = value, at


def count(worker: Counting, amount: float = 1.0, key: Key = HITS, named: tuple[str, tuple[str, ...]] = TOTAL) -> Series:
    series = worker.place(key, "Hits.", named)
    assert series is not None
    worker.cells[series.cell] += amount
    return series


def process(descriptor: int, generation: int = 1, *, alone: bool = False) -> Counting:
    return Counting(descriptor, generation, alone, BOARD)


def worker(descriptor: int, row: int, generation: int = 1) -> Counting:
    made = process(descriptor, generation)
    made.take(row)
    return made


def test_a_series_has_one_place_whoever_makes_it_first(descriptor: int) -> None:
    first, second = worker(descriptor, 0), worker(descriptor, 1)
    count(first, named=("_total", ("/a",)))
    other = count(second, named=("_total", ("/b",)))
    assert count(first, named=("_total", ("/b",))).cell == other.cell
    assert read(descriptor) == {"hits_total{path=/a}": 1, "hits_total{path=/b}": 2}


def test_a_row_goes_on_where_its_dead_worker_stopped(descriptor: int) -> None:
    mold = process(descriptor)
    count(mold, 100.0)
    for row in (0, 1, 0, 1, 0):
        count(worker(descriptor, row))
    assert read(descriptor) == {"hits_total{path=/}": 105}


def test_a_worker_without_a_row_counts_by_itself(descriptor: int) -> None:
    count(worker(descriptor, -1))
    assert read(descriptor) == {"hits_total{path=/}": 0}


def test_what_a_process_counts_that_imports_alone_is_its_own(descriptor: int) -> None:
    for row in range(3):
        alone = process(descriptor, alone=True)
        count(alone, 10.0)
        gauge(alone, "max", value=float(row))
        alone.take(row)
        count(alone)
    assert read(descriptor, rows("a/0", "a/1", "a/2")) == {"hits_total{path=/}": 33, "size{}": 2}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("all", {"size{worker=web/0}": 4, "size{worker=web/1}": 9, "size{worker=web/2}": 1}),
        ("liveall", {"size{worker=web/0}": 4, "size{worker=web/1}": 9}),
        ("min", {"size{}": 1}),
        ("livemin", {"size{}": 4}),
        ("max", {"size{}": 9}),
        ("livemax", {"size{}": 9}),
        ("sum", {"size{}": 14}),
        ("livesum", {"size{}": 13}),
        ("mostrecent", {"size{}": 1}),
        ("livemostrecent", {"size{}": 4}),
    ],
)
def test_gauges_combine_by_their_mode(descriptor: int, mode: str, expected: dict[str, float]) -> None:
    for row, (value, at) in enumerate([(4.0, 200.0), (9.0, 100.0), (1.0, 300.0)]):
        gauge(worker(descriptor, row), mode, value=value, at=at)
    worker(descriptor, 3)  # It has not made the gauge.
    occupants = {**rows("web/0", "web/1", "web/2", "web/3"), 2: Occupant("web/2", 1, False, 0.0)}
    assert read(descriptor, occupants) == expected


def test_of_two_workers_of_a_slot_the_younger_is_shown(descriptor: int) -> None:
    for row in (0, 1):
        gauge(worker(descriptor, row), "all", value=float(row))
    assert read(descriptor, rows("web/0", "web/0")) == {"size{worker=web/0}": 1}


@pytest.mark.parametrize(("mode", "left"), [("livesum", 3.0), ("sum", 8.0), ("mostrecent", 8.0), ("all", 3.0)])
def test_a_row_begins_with_the_molds_gauges(descriptor: int, mode: str, left: float) -> None:
    mold = process(descriptor)
    gauge(mold, mode, value=3.0, at=10.0)
    mold.take(0)
    assert list(read(descriptor).values()) == [3]
    gauge(mold, mode, value=8.0, at=20.0)
    again = process(descriptor, 2)
    gauge(again, mode, value=3.0, at=15.0)
    again.take(0)
    assert list(read(descriptor, rows("web/0", generation=2)).values()) == [left]


def test_what_new_code_sets_later_replaces_a_kept_gauge(descriptor: int) -> None:
    gauge(worker(descriptor, 0), "max", value=8.0, at=20.0)
    mold = process(descriptor, 2)
    gauge(mold, "max", value=3.0, at=30.0)
    mold.take(0)
    assert read(descriptor) == {"size{}": 3}


def test_a_metric_that_new_code_lacks_goes_with_old_workers(descriptor: int) -> None:
    count(worker(descriptor, 0))
    count(process(descriptor, 2), 0.0, Key("counter", "other", (), ""), ("_total", ()))
    both = {"hits_total{path=/}": 1, "other_total{}": 0}
    assert read(descriptor, {**rows("web/0"), 1: Occupant("web/1", 2, True, 0.0)}) == both
    assert read(descriptor, rows("web/0", generation=2)) == {"other_total{}": 0}


def test_of_two_types_of_one_name_the_latest_is_shown(descriptor: int) -> None:
    count(worker(descriptor, 0), 1.0, Key("counter", "size", (), ""), ("_total", ()))
    gauge(worker(descriptor, 0, 2), "max", value=5.0)
    assert read(descriptor) == {"size{}": 5}


def test_other_buckets_after_a_reload_keep_the_count(descriptor: int) -> None:
    key, old, new = Key("histogram", "s", (), ""), ["0.1", "0.5", "+Inf"], ["0.1", "1.0", "+Inf"]

    def observe(process: Counting, bounds: Sequence[str]) -> None:
        count(process, 1.5, key, ("_sum", ()))
        for bound in bounds:
            count(process, 1.0, key, ("_bucket", (bound,)))

    observe(worker(descriptor, 0), old)
    assert read(descriptor)["s_bucket{le=0.5}"] == 2
    observe(worker(descriptor, 0, 2), new)
    expected = {"s_bucket{le=0.1}": 2, "s_bucket{le=1.0}": 4, "s_bucket{le=+Inf}": 6, "s_count{}": 6, "s_sum{}": 3}
    assert read(descriptor, rows("web/0", generation=2)) == expected


def test_labels_that_explode_are_dropped_and_named_once(
    descriptor: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MOST_OF_ONE", 20)
    processes = [worker(descriptor, row) for row in range(2)]
    made = [process.place(HITS, "", ("_total", (f"/{n}",))) for n in range(30) for process in processes]
    assert [series is None for series in made] == [False] * 40 + [True] * 20
    assert Arena(descriptor).word(memory.DROPPED) == 20
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith("application metrics: hits has more label values than there is room for:")
    assert processes[1].place(Key("counter", "other", ("path",), ""), "", TOTAL) is not None


def test_a_full_table_has_room_for_series_without_labels(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CELLS", 100)
    monkeypatch.setattr(tables, "FOR_UNLABELLED", 50)
    table = Table(Arena(descriptor))
    for number in range(49):
        table.place(HITS, "", ("_total", (str(number),)), 1)
    with pytest.raises(NoRoomError):
        table.place(HITS, "", TOTAL, 1)
    table.place(Key("gauge", "up", (), "all"), "", ("", ()), 1)


@pytest.mark.parametrize("value", ["x" * 9000, "\udc80"])
def test_a_label_that_no_scrape_can_say_is_dropped(descriptor: int, value: str) -> None:
    table = Table(Arena(descriptor))
    with pytest.raises(NoRoomError):
        table.place(HITS, "", ("_total", (value,)), 1)
    table.place(HITS, "", TOTAL, 1)
    assert read(descriptor) == {"hits_total{path=/}": 0}


@pytest.mark.processes
def test_a_process_killed_while_it_appends_leaves_nothing(descriptor: int) -> None:
    """It holds the lock, and has written a record but not yet the length of all."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        arena = Arena(descriptor)
        with arena.lock():
            os.pwrite(descriptor, b"\x20\0\0\0[half", memory.RECORDS_AT)
            os.write(writer, b"x")
            time.sleep(PATIENCE)
        os._exit(1)
    assert os.read(reader, 1) == b"x"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    Table(Arena(descriptor)).place(HITS, "", TOTAL, 1)
    assert read(descriptor) == {"hits_total{path=/}": 0}
    for end in reader, writer:
        os.close(end)


@pytest.mark.processes
def test_a_lock_that_is_not_free_is_not_waited_for_long(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_TRIES", 3)
    own = process(descriptor)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        with Arena(descriptor).lock():
            os.write(writer, b"x")
            time.sleep(PATIENCE)
        os._exit(1)
    try:
        assert os.read(reader, 1) == b"x"
        assert own.place(HITS, "", TOTAL) is None
        monkeypatch.setattr(memory, "_TRIES", 10**6)
        assert own.place(HITS, "", TOTAL) is None, "it does not wait again"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)
    assert own.place(HITS, "", TOTAL) is not None


def test_a_handler_in_the_middle_of_an_append_adds_nothing(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mold, inner = process(descriptor), []
    lock = Arena.lock

    def interrupted(arena: Arena) -> object:
        inner.append(mold.place(HITS, "", ("_total", ("/inner",))))
        return lock(arena)

    monkeypatch.setattr(Arena, "lock", interrupted)
    assert mold.place(HITS, "", TOTAL) is not None
    assert inner == [None]


RECORDS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b'["counter","a",["b"],"",""]',
            b'["histogram","h",[],"",""]',
            b'[0,"_total",["x"],1.5]',
            b'[1,"_bucket",["0.5"],1.5]',
            b'[1,"_bucket",["wide"],1.5]',
            b'[0,"_total",[],1.5]',
            b'[true,"_total",["x"],NaN]',
            b'[-1,"_total",["\\udc80"],"x"]',
            b'["summary","s",[[]],"",""]',
            b"[" * 5000,
        ]
    ),
)


@settings(max_examples=200)
@given(st.lists(RECORDS, max_size=6), st.integers(0, 2**64 - 1), st.booleans())
def test_a_hostile_table_breaks_no_reader(records: list[bytes], used: int, whole: bool) -> None:
    descriptor = memory.create(columns=2)
    try:
        data = b"".join(len(each).to_bytes(4, "little") + each for each in records)
        os.pwrite(descriptor, data, memory.RECORDS_AT)
        arena = Arena(descriptor)
        arena.write_word(memory.USED_BYTES, len(data) if whole else used % 10_000)
        arena.write_word(memory.USED_COLUMNS, used)
        os.pwrite(descriptor, data * 5, memory.EXEMPLARS_AT)
        arena.write_word(memory.HAS_EXEMPLARS, 1)
        read(descriptor)
        own = process(descriptor)
        own.place(HITS, "", TOTAL)  # There is room for it, or none; both are answers.
    finally:
        os.close(descriptor)


def test_an_exemplar_is_the_last_one_and_short(descriptor: int) -> None:
    arena = Arena(descriptor)
    assert exemplars.read(arena, 0, 10) == {}
    for number in range(3):
        exemplars.write(arena, 4, Exemplar({"trace": str(number)}, 0.5, 1.0))
    exemplars.write(arena, 4, Exemplar({"trace": "x" * 300}, 0.5, 1.0))
    assert exemplars.read(arena, 0, 10) == {4: Exemplar({"trace": "2"}, 0.5, 1.0)}
    os.pwrite(descriptor, b"9", memory.EXEMPLARS_AT + 4 * memory.EXEMPLAR + 20)
    assert exemplars.read(arena, 0, 10) == {}


def test_memory_is_flat_over_ten_thousand_turns_of_rows(descriptor: int) -> None:
    """And what is read where nothing was written takes none."""
    mold = process(descriptor)
    for number in range(500):
        count(mold, named=("_total", (str(number),)))
    used = []
    for turn in range(10_000):
        mold.take(turn % 8)
        mold.cells[turn % 500] += 1
        if turn in (100, 9_999):
            read(descriptor)
            used.append(os.fstat(descriptor).st_blocks)
    assert used[0] == used[1] < 1000  # of 512 bytes
    assert sum(read(descriptor).values()) == 10_500


def test_a_limit_of_files_leaves_each_worker_by_itself() -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, before[1]))
    try:
        made = memory.create()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with pytest.raises(ValueError, match="the size of files is limited"):
        Arena(made)
    os.close(made)


def test_only_an_arena_is_one(tmp_path: Path) -> None:
    made = scoreboard.create(1)
    with pytest.raises(ValueError, match="not an arena"):
        Arena(made)
    os.close(made)
    with (tmp_path / "file").open("wb") as file, pytest.raises(OSError, match="Invalid"):
        Arena(file.fileno())
