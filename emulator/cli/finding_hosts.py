"""The running host that a command means: that of a port, or that of the app in a folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from emulator.cli.host_client import HostClient, HostNotRunning, InvocationFailed
from emulator.config.settings import find_project_root, load_settings
from emulator.config.start import DEFAULT_PORT
from emulator.errors import ConfigurationError
from emulator.host.host_id import host_id
from emulator.process.host_record import recorded_hosts


def find_host(app: Path, *, port: int | None, key: str | None, needs_app: bool = True) -> HostClient:
    """Return the running host of an app folder, or of a port if the user has given one.

    It answers requests. Several hosts of one folder: the one that was started last, and a note for the user.
    `needs_app`: False for what the host does also if it could not load the app; then a note for the user.
    Raises HostNotRunning; InvocationFailed if the host refuses the key or could not load the app.
    """
    try:
        root = find_project_root(app).resolve()
    except ConfigurationError as error:
        if port is not None:
            host = HostClient(port, app=app, key=key)
            host.wait_until_started(needs_app=needs_app)
            return host
        raise HostNotRunning(f"{error}\nTo use a running host from any folder, name its port with --port N.") from None
    records = recorded_hosts(root)
    if port is not None:
        # The record of a host that was killed says nothing about the program that has its port now.
        record = next((record for record in records if record.port == port and record.is_alive), None)
        host = HostClient(port, app=root, key=key, record=record)
        host.wait_until_started(needs_app=needs_app)
        return host
    loaded = load_settings(root, os.environ, overrides={})
    own_id = host_id(root, loaded.settings)
    # A key that the user has given is for a host of this folder, and not for what else may listen at its port.
    candidates = [
        HostClient(record.port, app=root, key=key if record.is_alive else None, record=record) for record in records
    ]
    default_port = loaded.host.port or DEFAULT_PORT
    found, strangers = [], []
    for host in candidates:
        if (reason := _refusal(host, own_id, needs_app=needs_app)) is None:
            found.append(host)
        elif reason:
            strangers.append(reason)
    # In a folder that cannot be written, hosts have no record.
    if not found and default_port not in [record.port for record in records]:
        host = HostClient(default_port, app=root, key=None)
        if (reason := _refusal(host, own_id, needs_app=needs_app)) is None:
            found.append(host)
        elif reason:
            strangers.append(reason)
    if not found:
        others = "".join(f"\n{reason}" for reason in strangers)
        raise HostNotRunning(
            f"No host of the app in {root} is running. Start it with `azemu start`, or name the port of another host "
            f"with --port N.{others}"
        )
    if len(found) > 1:
        ports = ", ".join(str(host.port) for host in found)
        sys.stderr.write(
            f"Several hosts of this folder are running, at the ports {ports}. Using port {found[0].port}, which was "
            "started last. Choose with --port N.\n"
        )
    return found[0]


def find_host_if_running(
    app: Path, *, port: int | None, key: str | None, needs_app: bool = True, also_without_app: bool = False
) -> HostClient | None:
    """Return what `find_host` returns; None if no host of the folder runs, so that a command can use storage or files.

    `also_without_app`: None also for a host that could not load the app. Raises for a host whose port was given: it
    names a host, so storage would be the answer to another question.
    """
    try:
        return find_host(app, port=port, key=key, needs_app=needs_app)
    except HostNotRunning:
        if port is not None:
            raise
    except InvocationFailed:
        if port is not None or not also_without_app:
            raise
    return None


def _refusal(host: HostClient, own_id: str, *, needs_app: bool) -> str | None:
    """Return why a host is not that of the app with this host id: empty if none answers. None: it is the app's host.

    Raises InvocationFailed if it is, and cannot be used.
    """
    try:
        host.wait_until_started(needs_app=needs_app)
    except HostNotRunning:
        return ""
    except InvocationFailed as error:
        # Without an id it is another server, or a host that this one's key does not open.
        if host.id == own_id or host.is_own:
            raise
        return str(error)
    return None if host.id == own_id else f"The host at {host.origin} is that of another app."
