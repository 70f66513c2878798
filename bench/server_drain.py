"""Clients that are connected but have not sent their request when the worker is stopped: how many of 20 are answered.

    python bench/server_drain.py [side ...]

The only worker accepts 20 connections and gets SIGTERM; 200 ms later the clients send their requests.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

from peers import SIDES, Server, request, running, versions

CLIENTS, SILENCE = 20, 0.2
DEFAULT = [side for side in SIDES if "sharded" not in side and "shared" not in side]


def main() -> None:
    print(versions())
    print("| | answered of 20 |")
    print("|---|---|")
    for side in sys.argv[1:] or DEFAULT:
        with running(side, 1) as server:
            print(f"| {side} | {answered(server)} |", flush=True)


def answered(server: Server) -> int:
    clients = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(CLIENTS)]
    # Who comes last has been answered, so that all of them have been accepted: there is one worker, and one queue.
    os.kill(server.ask(), signal.SIGTERM)
    time.sleep(SILENCE)
    count = sum(asks(client) for client in clients)
    for client in clients:
        client.close()
    return count


def asks(client: socket.socket) -> bool:
    answer = b""
    try:
        client.sendall(request("/"))
        while data := client.recv(4096):
            answer += data
    except OSError:
        pass
    return answer.startswith(b"HTTP/1.1 200")


if __name__ == "__main__":
    main()
