"""Listening TCP sockets, bound before the web server that serves on them is loaded."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from emulator.errors import ConfigurationError

LOCALHOST: Final = "localhost"
BACKLOG: Final = 2048
"""How many connections may wait until they are accepted. The system may allow fewer (Linux: net.core.somaxconn, 4096).

asyncio needs it again when it serves on a socket: it calls `listen` with a backlog of 100 otherwise.
"""
# `localhost` may mean either of them. Some clients try only the first address that it resolves to.
_LOOPBACK: Final = ("127.0.0.1", "::1")
# How often to look for a port that is free on both loopback addresses.
_ANY_PORT_ATTEMPTS: Final = 20
# State of a listening socket in /proc/net/tcp.
_LISTENING_STATE: Final = "0A"


def is_loopback(address: str) -> bool:
    """Return whether an IP address, or "localhost", can be reached from this machine only."""
    return address == LOCALHOST or ipaddress.ip_address(address).is_loopback


class PortUnavailable(ConfigurationError):
    """The address and port cannot be bound. The message says how to choose others. `in_use`: by another socket."""

    def __init__(self, address: str, port: int, error: OSError) -> None:
        self.in_use = error.errno == errno.EADDRINUSE
        if self.in_use:
            text = (
                # The first two sentences are those of core-tools.
                f"Port {port} is unavailable. Close the process using that port, or specify another port using "
                '--port [-p]. The setting for it is "Host": {"LocalHttpPort": …} in local.settings.json. '
                f"{_describe_user(address, port)}"
            )
        else:
            text = (
                f"Cannot listen on address {address}, port {port}: {error.strerror or error}. "
                "Choose others with --address and --port."
            )
        super().__init__(text)


def listening_sockets(address: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on an IP address, or on all loopback addresses of the machine for "localhost".

    All have the same port; `port` 0: any free port. Raises PortUnavailable.
    """
    if address != LOCALHOST:
        return [_listen(address, port)]
    for attempts_left in reversed(range(_ANY_PORT_ATTEMPTS)):
        with ExitStack() as opened:
            sockets: list[socket.socket] = []
            missing: PortUnavailable | None = None
            try:
                for loopback in _LOOPBACK:
                    # The second socket gets the port of the first one.
                    number = sockets[0].getsockname()[1] if sockets else port
                    try:
                        sockets.append(opened.enter_context(_listen(loopback, number)))
                    except PortUnavailable as error:
                        if error.in_use:
                            raise
                        missing = error  # A machine without IPv6, or without IPv4.
            except PortUnavailable:
                if port or not attempts_left:
                    raise
                continue
            if missing is not None and not sockets:
                raise missing
            opened.pop_all()
            return sockets
    raise AssertionError("the last attempt returns or raises")


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise PortUnavailable(address, port, error) from error


def _describe_user(address: str, port: int) -> str:
    """Return a sentence that names the process that listens on a port, or says how to find it."""
    if sys.platform == "linux":
        with suppress(OSError):
            for process, command in _listening_processes(port):
                # Of several apps, the folder tells which one it is. Processes of other users do not show it.
                folder = ""
                with suppress(OSError):
                    folder = f" in the folder {os.readlink(f'/proc/{process}/cwd')}"
                return f"On {address} it is used by process {process} ({command}){folder}."
    command = f"netstat -ano | findstr :{port}" if sys.platform == "win32" else f"lsof -iTCP:{port} -sTCP:LISTEN"
    return f"To find the process that uses it on {address}: {command}"


def _listening_processes(port: int) -> list[tuple[int, str]]:
    """Return id and command line of the processes that listen on a port. Only Linux lists them in files."""
    files = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]:
                # Columns: number, local address:port, remote address, state, …, inode (the tenth).
                columns = line.split()
                if columns[3] == _LISTENING_STATE and int(columns[1].rpartition(":")[2], 16) == port:
                    files.add(f"socket:[{columns[9]}]")
    found = []
    for process in sorted(int(entry) for entry in os.listdir("/proc") if entry.isdecimal()):
        # Processes of other users, and those that end at this moment, cannot be read.
        with suppress(OSError):
            if any(os.readlink(f"/proc/{process}/fd/{name}") in files for name in os.listdir(f"/proc/{process}/fd")):
                words = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
                found.append((process, " ".join(words).strip()[:100]))
    return found
