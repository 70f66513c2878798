"""The sockets of one port: a queue for each slot, connections where workers accept, and none lost."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from prefork._core.plan import Listener
from prefork._linux import steering
from prefork._linux.address import parse
from prefork._master.listeners import bind
from prefork._master.listeners.port import Port

SHARDED = Listener("http", "tcp://127.0.0.1:0", "sharded")
SHARED = Listener("http", "tcp://127.0.0.1:0")
DATAGRAMS = Listener("dns", "udp://127.0.0.1:0", "sharded")


def opened(listener: Listener = SHARDED, foreign: int = 0, address: str = "") -> Port:
    port = Port(bind.open_socket(parse(address or listener.address), bool(foreign)), None, foreign)
    port.open(listener)
    return port


@pytest.fixture
def port() -> Iterator[Port]:
    with closing(opened()) as made:
        yield made


def worker(port: Port, number: int, listener: Listener = SHARDED, *, pid: int = 0) -> socket.socket:
    """Return the socket of a ready worker; its pid is its number unless given."""
    sock = port.give(listener, f"web/{number}", pid or number)
    port.serves(pid or number, True)
    return sock


def connect(port: Port, count: int) -> list[socket.socket]:
    address = port.template().getsockname()[:2]
    return [socket.create_connection(address, timeout=10) for _ in range(count)]


def waiting(sock: socket.socket) -> int:
    """Accept all waiting connections; return their number."""
    count = 0
    while True:
        try:
            sock.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def spread(port: Port, sockets: list[socket.socket], count: int = 120) -> list[int]:
    """Open `count` connections; return how many each socket got, in total `count`."""
    clients = connect(port, count)
    counts = [waiting(sock) for sock in sockets]
    assert sum(counts) == count, counts
    for client in clients:
        client.close()
    return counts


def test_connections_spread_over_all_shards(port: Port) -> None:
    shards = [worker(port, number) for number in (1, 2, 3, 4)]
    assert len({shard.fileno() for shard in shards}) == 4
    assert min(spread(port, shards)) > 0


def test_shard_gets_nothing_before_its_worker_serves(port: Port) -> None:
    first = worker(port, 1)
    second = port.give(SHARDED, "web/2", 2)
    assert spread(port, [first, second]) == [120, 0]
    port.serves(2, True)
    assert min(spread(port, [first, second])) > 0


def test_queue_of_a_dead_worker_goes_to_its_successor(port: Port) -> None:
    first, second = worker(port, 1), worker(port, 2)
    clients = connect(port, 60)
    port.ended(1)
    waiting(second)
    assert spread(port, [second]) == [120]
    successor = port.give(SHARDED, "web/1", 11)
    assert successor is first
    assert waiting(successor) > 0
    port.serves(11, True)
    assert min(spread(port, [successor, second])) > 0
    del clients


def test_successor_shares_the_queue_until_the_old_worker_exits(port: Port) -> None:
    other, old = worker(port, 2), worker(port, 1)
    new = worker(port, 1, pid=11)
    assert old is new
    port.serves(1, False)
    assert min(spread(port, [new, other])) > 0
    port.ended(1)
    assert min(spread(port, [new, other])) > 0


def test_removed_slot_gets_nothing_new_and_keeps_its_queue(port: Port) -> None:
    shards = [worker(port, number) for number in (1, 2, 3)]
    clients = connect(port, 90)
    port.serves(1, False, abandons=True)
    port.serves(2, False, abandons=True)
    held = waiting(shards[2])
    more = connect(port, 60)
    assert waiting(shards[2]) == 60
    assert held + waiting(shards[0]) + waiting(shards[1]) == 90
    for number in (1, 2):
        port.ended(number)
        port.forget(f"web/{number}")
    assert spread(port, [shards[2]]) == [120]
    del clients, more


def test_last_slots_queue_goes_to_the_next_slot(port: Port) -> None:
    only = worker(port, 1)
    port.serves(1, False, abandons=True)
    port.ended(1)
    port.forget("web/1")
    clients = connect(port, 5)
    assert worker(port, 2) is only
    assert waiting(only) == 5
    del clients


def test_random_slots_lose_no_connection(port: Port) -> None:
    chance = random.Random(1)
    there: dict[int, socket.socket] = {0: worker(port, 1000)}
    keys = {0: 1000}
    for step in range(1, 60):
        if len(there) > 1 and chance.random() < 0.5:
            gone = chance.choice(list(there))
            port.serves(keys[gone], False, abandons=True)
            port.ended(keys[gone])
            del there[gone]
            port.forget(f"web/{keys.pop(gone)}")
        else:
            there[step], keys[step] = worker(port, 1000 + step), 1000 + step
        spread(port, list(there.values()), 12)


def test_stray_copy_does_not_keep_a_shard_in_the_group(port: Port) -> None:
    shards = [worker(port, number) for number in (1, 2, 3)]
    with shards[0].dup():
        port.serves(1, False, abandons=True)
        port.ended(1)
        port.forget("web/1")
        assert min(spread(port, shards[1:])) > 0


def test_beside_orphans_ours_get_all_new_connections() -> None:
    with closing(opened()) as old:
        orphans = [worker(old, number) for number in (1, 2, 3, 4)]
        address = "tcp://127.0.0.1:" + str(orphans[0].getsockname()[1])
        number = bind.count_listening(orphans[0])
        assert number == 4
        with closing(opened(Listener("http", address, "sharded"), number, address)) as new:
            ours = [worker(new, number, SHARDED) for number in (1, 2)]
            assert min(spread(new, ours)) > 0
            for orphan in (orphans[1], orphans[0], orphans[3]):
                orphan.close()
                ours.append(worker(new, len(ours) + 1, SHARDED))
                assert min(spread(new, ours)) > 0
            new.count_again()  # One is still there.
            orphans[2].close()
            assert min(spread(new, ours)) > 0
            new.count_again()
            for gone in (2, 1):
                new.serves(gone, False, abandons=True)
                new.ended(gone)
                new.forget(f"web/{gone}")
                del ours[gone - 1]
                assert min(spread(new, ours)) > 0


def test_new_sharing_takes_over_when_a_worker_serves() -> None:
    with closing(opened(SHARED)) as port:
        shared = worker(port, 1, SHARED)
        port.open(SHARDED)
        shard = port.give(SHARDED, "web/1", 11)
        assert spread(port, [shared, shard]) == [120, 0]
        port.serves(11, True)
        assert spread(port, [shared, shard]) == [0, 120]
        clients = connect(port, 3)
        port.open(SHARED)  # And back.
        port.serves(1, True)
        assert spread(port, [shared]) == [120]
        port.withdraw("sharded")
        assert waiting(shard) == 3  # Its worker still accepts them.
        port.ended(11)
        assert spread(port, [shared]) == [120]
        del clients


def test_withdrawn_port_refuses_and_closes_with_its_last_worker(port: Port) -> None:
    shard = worker(port, 1)
    address = shard.getsockname()
    clients = connect(port, 4)
    port.withdraw("sharded")
    with socket.socket() as late:
        late.setblocking(False)
        late.connect_ex(address)
        assert waiting(shard) == 4
        assert not port.gone
        port.ended(1)
    assert port.gone
    with socket.socket() as refused:
        assert refused.connect_ex(address) != 0
    del clients


def test_datagram_client_keeps_its_socket() -> None:
    with closing(opened(DATAGRAMS)) as port:
        shards = [worker(port, number, DATAGRAMS) for number in (1, 2, 3)]
        seen: dict[int, set[int]] = {}
        for _ in range(3):
            for client in range(40):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.bind(("127.0.0.1", 0) if client not in seen else ("127.0.0.1", client))
                    sock.sendto(b"?", shards[0].getsockname())
                    mine = sock.getsockname()[1]
                    seen.setdefault(mine, set()).add(received(shards))
        assert all(len(places) == 1 for places in seen.values())
        assert {place for places in seen.values() for place in places} == {0, 1, 2}
        port.serves(1, False, abandons=True)
        port.ended(1)
        port.forget("web/1")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(20):
                sock.sendto(b"?", shards[1].getsockname())
                received(shards[1:])


def received(shards: list[socket.socket]) -> int:
    """Which of them has received a datagram: one has to."""
    for place, shard in enumerate(shards):
        try:
            shard.recv(10)
        except BlockingIOError:
            continue
        return place
    raise AssertionError("it came to none")


@pytest.mark.parametrize("places", [[0], [5], [0, 1, 2], [1, 3, 5, 6], [2, 3, 9]])
def test_choice_is_uniform(places: list[int]) -> None:
    program = steering.choice(places)
    assert sorted(run(program, number) for number in range(3 * len(places))) == sorted(places * 3)


def test_choice_among_many_places_fits() -> None:
    assert len(steering.choice(range(0, 6000, 2))) <= 4096
    assert len(steering.choice(range(6000))) < 10


def run(program: list[tuple[int, int, int, int]], number: int) -> int:
    """What the kernel makes of a program when this number is in its register."""
    register, at = number, 0
    while True:
        code, if_true, if_false, constant = program[at]
        at += 1
        match code:
            case 0x94:
                register %= constant
            case 0x04:
                register += constant
            case 0x14:
                register -= constant
            case 0x35:
                at += if_true if register >= constant else if_false
            case 0x16:
                return register
            case _:
                raise AssertionError(f"it ran to its end with {register}")


@pytest.mark.parametrize("seed", range(3))
def test_one_change_steers_as_looking_at_all_sockets(port: Port, seed: int) -> None:
    """Where hundreds start, only what a change can alter is looked at."""
    choose, pids = random.Random(seed), iter(range(1, 1000))
    living: dict[int, str] = {}
    for _ in range(120):
        key = f"web/{choose.randrange(6)}"
        match choose.choice(["give", "give", "ready", "ready", "drain", "end"]):
            case "give":
                living[pid := next(pids)] = key
                port.give(SHARDED, key, pid)
            case "end" if living:
                port.ended(pid := choose.choice(list(living)))
                del living[pid]
            case what if living:
                port.serves(choose.choice(list(living)), what == "ready", abandons=choose.random() < 0.2)
        found = list(port._steered)
        port._steer()
        assert port._steered == found
