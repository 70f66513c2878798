"""What a profile of a busy worker shows, and what it costs: `prefork profile` of a FastAPI application.

    python bench/profile.py [--rounds N] [--seconds S] [--rate N]

One worker, and clients that ask it all the time. `truth` is the share of the worker's processor time that the hot
function has, by the thread's own clock around it, `profile` the share of samples. `requests`: the rate with a profile
being taken, over the mean of the rates just before and just after it. Needs Python 3.14 or later, or py-spy.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from http.client import HTTPConnection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from statistics import mean, median

CLIENTS = 2
PREFORK = Path(sys.executable).with_name("prefork")
APPLICATION = """
import json, random, time
from fastapi import FastAPI

app, spent = FastAPI(), [0.0]

def hot(count):
    total = 0
    for number in range(count):
        total += number * number
    return total

@app.get("/")
async def root():
    begun = time.thread_time()
    hot(random.randint(2000, 18000))
    spent[0] += time.thread_time() - begun
    return json.loads(json.dumps([str(number) for number in range(random.randint(200, 1800))]))[:3]

@app.get("/spent")
async def times():
    return [spent[0], time.process_time()]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of a profile")
    parser.add_argument("--rate", type=int, default=100, help="samples a second")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "shop.py").write_text(APPLICATION)
        environment = {**os.environ, "RUNTIME_DIRECTORY": f"{directory}/runtime"}
        command = [PREFORK, "run", "shop:app", "-w", "1", "-b", "127.0.0.1:0", "--server", "uvicorn"]
        daemon = subprocess.Popen(command, cwd=directory, env=environment, stderr=subprocess.PIPE, text=True)
        count = multiprocessing.Value("L", 0)
        clients: list[multiprocessing.Process] = []
        try:
            port = port_of(daemon)
            for _ in range(CLIENTS):
                clients.append(multiprocessing.Process(target=ask, args=(port, count), daemon=True))
                clients[-1].start()
            time.sleep(1)
            rounds(chosen, (port, count), environment)
        finally:
            for client in clients:
                client.terminate()
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()


def rounds(chosen: argparse.Namespace, service: tuple[int, Synchronized[int]], environment: dict[str, str]) -> None:
    port, count = service
    seconds = chosen.seconds
    ratios, errors = [], []
    print("| truth | profile | samples | requests a second: before, meanwhile, after | ratio |\n|---|---|---|---|---|")
    for _ in range(chosen.rounds):
        before = rate(count, seconds / 2)
        start = times(port)
        command = [PREFORK, "profile", "web", "--seconds", str(seconds), "--rate", str(chosen.rate), "--json"]
        profiler = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        time.sleep(0.5)  # The command and the reader have started.
        meanwhile = rate(count, seconds - 1)
        stacks = json.loads(profiler.communicate()[0])["stacks"]
        end = times(port)
        after = rate(count, seconds / 2)
        truth = (end[0] - start[0]) / (end[1] - start[1])
        total = sum(stacks.values())
        shown = sum(samples for stack, samples in stacks.items() if ";hot (" in stack) / total
        ratios.append(meanwhile / mean((before, after)))
        errors.append(shown - truth)
        rates = f"{before:.0f}, {meanwhile:.0f}, {after:.0f}"
        print(f"| {truth:.1%} | {shown:.1%} | {total} | {rates} | {ratios[-1]:.2f} |", flush=True)
    print(f"\nratio of rates, median: {median(ratios):.3f}; error of the share, mean: {mean(errors):+.1%}")


def port_of(daemon: subprocess.Popen[str]) -> int:
    assert daemon.stderr is not None
    for line in daemon.stderr:
        if ": listening on tcp://127.0.0.1:" in line:
            port = int(line.rsplit(":", 1)[1])
        if ": ready (" in line:
            return port
    raise SystemExit("the daemon did not start")


def ask(port: int, count: Synchronized[int]) -> None:
    connection = HTTPConnection("127.0.0.1", port)
    while True:
        connection.request("GET", "/")
        connection.getresponse().read()
        with count.get_lock():
            count.value += 1


def rate(count: Synchronized[int], seconds: float) -> float:
    before, begun = count.value, time.monotonic()
    time.sleep(seconds)
    return (count.value - before) / (time.monotonic() - begun)


def times(port: int) -> tuple[float, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/spent") as answer:
        spent, total = json.load(answer)
    return spent, total


if __name__ == "__main__":
    main()
