"""The daemon with its workers: clients hear each other, and a killed worker is replaced."""

import socket

from talk import daemon

from prefork.testing.plugin import StartServer


def say(address: tuple[str, int], text: str) -> str:
    """Send a line as a new client; return the first one that comes back."""
    with socket.create_connection(address, timeout=10) as client:
        client.sendall(f"{text}\n".encode())
        return client.makefile().readline().rstrip("\n")


def test_clients_hear_what_is_said(prefork_server: StartServer) -> None:
    """Also after a worker was killed."""
    server = prefork_server(daemon)
    address = server.address("talk")
    assert say(address, "hello") == "hello"
    server.kill("room/0")
    server.wait_for("4/4 ready")
    assert say(address, "here again") == "here again"
