"""The application on its real server, with two workers."""

from concurrent.futures import ThreadPoolExecutor

import httpx

from prefork.testing.plugin import StartServer


def test_root_says_hello(prefork_server: StartServer) -> None:
    """A request is answered."""
    server = prefork_server("app:create_app", workers=2)
    assert httpx.get(f"{server.url}/?name=you").json()["hello"] == "you"


def test_reload_waits_for_a_slow_request(prefork_server: StartServer) -> None:
    """A worker that is replaced answers first."""
    server = prefork_server("app:create_app", workers=2)
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(httpx.get, f"{server.url}/slow?seconds=0.5")
        server.reload()
    assert slow.result().json() == {"slept": 0.5}
