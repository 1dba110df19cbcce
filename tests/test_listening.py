"""Listening sockets of an address, and of localhost, which means two addresses."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from emulator import listening
from emulator.listening import LOCALHOST, PortUnavailable, listening_sockets
from tests.running_apps import HTTP_APP, run_app

BURST = 1000
APP = """
@app.route(route="hello")
async def hello(req: func.HttpRequest) -> str:
    return "hello"
"""


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def connects(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 5).close()
    except OSError:
        return False
    return True


@needs_ipv6
def test_localhost_is_both_loopback_addresses_at_one_port() -> None:
    sockets = listening_sockets(LOCALHOST, 0)
    port = sockets[0].getsockname()[1]
    assert [connects(address, port) for address in ("127.0.0.1", "::1")] == [True, True]
    for sock in sockets:
        sock.close()


@needs_ipv6
@pytest.mark.parametrize(("address", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_port_in_use_on_one_of_them_is_an_error_that_names_the_address(
    address: str, family: socket.AddressFamily
) -> None:
    with socket.create_server((address, 0), family=family) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortUnavailable, match=f"^Port {port} is unavailable") as raised:
            listening_sockets(LOCALHOST, port)
    assert address in str(raised.value)
    if sys.platform == "linux":
        assert f"On {address} it is used by process {os.getpid()} (" in str(raised.value)
        # Two apps: which one has the port?
        assert f") in the folder {os.getcwd()}." in str(raised.value)


def test_missing_address_family_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # An address that this machine does not have, as ::1 on a machine without IPv6.
    monkeypatch.setattr(listening, "_LOOPBACK", ("127.0.0.1", "192.0.2.1"))
    [sock] = listening_sockets(LOCALHOST, 0)
    assert sock.getsockname()[0] == "127.0.0.1"
    sock.close()


def test_address_that_the_machine_does_not_have_is_an_error() -> None:
    with pytest.raises(PortUnavailable, match=r"Cannot listen on address 192\.0\.2\.1, port 7071"):
        listening_sockets("192.0.2.1", 7071)


async def test_a_burst_of_a_thousand_connections_is_accepted(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("other systems have lower limits, or refuse instead of waiting")
    if int(Path("/proc/sys/net/core/somaxconn").read_text(encoding="ascii")) < BURST:
        pytest.skip("this machine allows fewer waiting connections")
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * BURST  # Both ends are in this process.
    if limits[1] != resource.RLIM_INFINITY and limits[1] < wanted:
        pytest.skip("this machine allows fewer open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], wanted), limits[1]))
    try:
        async with run_app(tmp_path, HTTP_APP, APP) as app:
            with ExitStack() as clients:
                # The host's loop is this one, so it accepts nothing until all are connected. A connection for which
                # there is no room is tried again after a second.
                opened = [
                    clients.enter_context(socket.create_connection(("127.0.0.1", app.app.port), timeout=0.9))
                    for _ in range(BURST)
                ]
                asked = opened[::100] + opened[-1:]
                for client in asked:
                    client.sendall(b"GET /api/hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    client.setblocking(False)
                loop = asyncio.get_running_loop()
                answers = await asyncio.gather(*(loop.sock_recv(client, 4096) for client in asked))
                assert [answer for answer in answers if not answer.startswith(b"HTTP/1.1 200 ")] == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
