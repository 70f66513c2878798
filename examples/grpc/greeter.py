"""A gRPC server on several workers. Each binds the port for itself, as gRPC wants it, with SO_REUSEPORT.

    python greeter.py                  # or: prefork run greeter:daemon

A client stands in README.md.
"""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc

import prefork
from prefork.adapters import outside

HOST = os.environ.get("GREETER_HOST", "127.0.0.1")
PORT = int(os.environ.get("GREETER_PORT", "50051"))
MAX_AGE = float(os.environ.get("GREETER_MAX_AGE", "30"))
"""Seconds after which gRPC asks a client to connect again. A worker that drains waits for so long."""
GRACE = 20
"""Seconds that calls may then go on for. The drain timeout has to have room for both."""

# Your own greeter_pb2 and greeter_pb2_grpc do as well.
protos, services = grpc.protos_and_services("greeter.proto")


class Greeter(services.GreeterServicer):
    """The service, as gRPC's documents would have it."""

    def Hello(self, who: protos.Who, context: grpc.ServicerContext) -> protos.Greeting:
        """Greet once."""
        return protos.Greeting(text=f"hello {who.name}", pid=os.getpid())

    def Count(self, who: protos.Who, context: grpc.ServicerContext) -> Iterator[protos.Greeting]:
        """Greet ten times: a call that takes a while."""
        for number in range(10):
            yield protos.Greeting(text=f"hello {who.name} {number}", pid=os.getpid())
            time.sleep(0.1)


@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    """A worker that serves gRPC."""

    id: int


daemon = prefork.Daemon("grpc")


@daemon.plan
def plan() -> list[prefork.Pool]:
    """Say which workers should exist."""
    return [prefork.Pool(Web, size=4)]


@daemon.worker(Web, drain_timeout=60)
def web(worker: prefork.Worker[Web]) -> None:
    """Serve until told to drain; by then a successor listens on the same port."""
    # Here and not above: gRPC has threads of its own as soon as it has a server, and they would not survive the fork.
    options = [("grpc.so_reuseport", 1), ("grpc.max_connection_age_ms", int(MAX_AGE * 1000))]
    server = grpc.server(ThreadPoolExecutor(8), options=options)
    services.add_GreeterServicer_to_server(Greeter(), server)
    server.add_insecure_port(f"{HOST}:{PORT}")
    server.start()
    worker.wait_draining()

    # `stop` alone drops connections that wait in the queue, and calls that cross with its goodbye. So no client is here
    # any more when it is called: new ones are turned away, and the others go when their connection is of age.
    outside.leave_port(PORT, patience=1.1 * MAX_AGE + 5)  # gRPC spreads the age by a tenth, and calls go on for a while
    server.stop(GRACE).wait()


if __name__ == "__main__":
    daemon.run()
