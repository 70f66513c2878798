"""The service with its workers."""

import socket

import grpc
from greeter import daemon, protos, services

from prefork.testing.plugin import StartServer


def free_port() -> int:
    """Return a port that was free: each worker binds it by itself."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_call_is_answered_over_a_reload(prefork_server: StartServer) -> None:
    """By workers of both generations."""
    port = free_port()
    server = prefork_server(daemon, env=[f"GREETER_PORT={port}", "GREETER_MAX_AGE=1"])
    for _ in range(2):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            greeting = services.GreeterStub(channel).Hello(protos.Who(name="you"), timeout=10, wait_for_ready=True)
        assert greeting.text == "hello you"
        server.reload()
