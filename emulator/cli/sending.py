"""Command `azemu send`: put a message or blob into the storage of an app, or send an event to one of its functions.

A running host of the app does it (host/admin/storage.py), whatever storage it was started with. Without one, the
command opens the storage that the app's settings name.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from emulator import bound_json as json
from emulator import exit_codes
from emulator.accounts import open_accounts
from emulator.check.functions import declarations_of, trigger_sources
from emulator.check.sources import read_sources
from emulator.cli.answers import FUNCTION
from emulator.cli.app_configuration import with_storage
from emulator.cli.data_arguments import read_argument
from emulator.cli.finding_hosts import find_host, find_host_if_running
from emulator.cli.host_client import HostClient, url_segment
from emulator.cli.printing import print_json
from emulator.cli.send_arguments import Send
from emulator.clock import SystemClock
from emulator.config.settings import find_project_root
from emulator.config.start import StartOptions, configure
from emulator.errors import ConfigurationError, EmulatorError
from emulator.host.admin.storage import sending_account
from emulator.host.event_grid_requests import EVENT_TYPE_HEADER
from emulator.host.sending import completed_events, event_path, message_encoding, put_message, split_path, upload
from emulator.ids import new_id
from emulator.worker.loader import DEFAULT_SCRIPT
from emulator.worker.port import member_of


class NotSent(EmulatorError):
    """The host has refused a message, blob or event."""


def run_send(command: Send) -> int:
    """Run the command and return its exit code.

    Raises ConfigurationError, HostNotRunning, InvocationFailed, NotSent, NotStorable, and what the storage raises.
    """
    if command.data == "-":
        data = sys.stdin.buffer.read()
    else:
        # The argument of a blob is a file, that of a message or event the data itself.
        data = _content_of(command.data) if command.kind == "blob" else read_argument(command.data)
    if command.kind == "eventgrid":
        return _send_event(command, data)
    if command.kind == "blob":
        split_path(command.target)
    # Storage is there also for a host that could not load the app.
    host = find_host_if_running(command.app, port=command.port, key=command.key, also_without_app=True)
    stored = asyncio.run(_store(command, data)) if host is None else _store_by_host(host, command, data)
    storage, created = stored["storage"], stored["created"]
    what = f"message into queue '{command.target}'" if command.kind == "queue" else f"blob '{command.target}'"
    # The storage of a host that was started with --storage is another one.
    note = " No host of this app is running." if host is None else ""
    sys.stderr.write(f"Sent the {what} of {storage}.{note}\n")
    if created and (warning := _creation_warning(command, host)):
        sys.stderr.write(f"{warning}\n")
    if command.json:
        members = {"kind": command.kind, "target": command.target, "storage": storage, "created": created}
        print_json({**members, "byHost": host is not None})
    return exit_codes.OK


def _creation_warning(command: Send, host: HostClient | None) -> str:
    """Return a text about a queue or container that was created; empty if a function listens on it."""
    trigger, member = ("queueTrigger", "queueName") if command.kind == "queue" else ("blobTrigger", "path")
    if host is None:
        configuration = configure(StartOptions(app=find_project_root(command.app), create_host_json=False), os.environ)
        root = configuration.root
        script = root / (configuration.settings.get("PYTHON_SCRIPT_FILE_NAME") or DEFAULT_SCRIPT)
        scripts = [script, *(declaration.script for declaration in declarations_of(root))]
        sources = trigger_sources(read_sources(root, scripts), trigger, member)
        sources = {function: configuration.settings.expand_known(text) for function, text in sources.items()}
    else:
        sources = {
            function["name"]: str(value)
            for function in host.get("/admin/functions").content([FUNCTION])
            for binding in function["config"]["bindings"]
            if binding["type"].lower() == trigger.lower() and (value := member_of(binding, member))
        }
    # Of a blob's path the container decides.
    name = command.target.strip("/").partition("/")[0].lower()
    listened = {text.strip("/").partition("/")[0].lower(): function for function, text in sources.items()}
    # A name with a setting whose value is not known here may be this one.
    if name in listened or any("%" in text for text in listened):
        return ""
    what = "Queue" if command.kind == "queue" else "Container"
    known = ", ".join(f"'{text}' ({function})" for text, function in sorted(listened.items()))
    about = f"Functions of this app listen on {known}." if known else f"No function of this app has a {trigger}."
    return f"{what} '{name}' did not exist and was created. {about}"


def _content_of(file: str) -> bytes:
    """Return what a file contains. `@FILE`, as the other commands have it, is the same as `FILE`.

    Raises ConfigurationError.
    """
    path = Path(file)
    if file.startswith("@") and not path.exists():
        path = Path(file[1:])
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"The file '{path}' cannot be read: {error.strerror}. The content of a blob is taken from a file, or from "
            "the standard input with -."
        ) from None


def _store_by_host(host: HostClient, command: Send, data: bytes) -> Mapping[str, Any]:
    query = urlencode({"connection": command.connection, **({"azure": "true"} if command.allow_azure else {})})
    target = quote(command.target.strip("/"), safe="" if command.kind == "queue" else "/")
    if command.kind == "queue":
        response = host.send("POST", f"/admin/azemu/queues/{target}/messages?{query}", data)
    else:
        headers = {"Content-Type": command.content_type}
        response = host.send("PUT", f"/admin/azemu/blobs/{target}?{query}", data, headers)
    if response.status >= 300:
        raise NotSent(response.refusal())
    stored: Mapping[str, Any] = response.content({"storage": str, "created": bool})
    return stored


async def _store(command: Send, data: bytes) -> Mapping[str, Any]:
    clock = SystemClock()
    async with (
        with_storage(command.app, clock) as configuration,
        open_accounts(configuration.settings, clock) as accounts,
    ):
        account = sending_account(accounts, command.connection, allow_azure=command.allow_azure)
        if command.kind == "queue":
            encoding = message_encoding(configuration.host)
            created = await put_message(account, command.target, data, encoding=encoding)
        else:
            created = await upload(account, command.target, data, content_type=command.content_type)
        return {"storage": account.description, "created": created}


def _send_event(command: Send, data: bytes) -> int:
    events = completed_events(data, now=SystemClock().now(), new_id=new_id)
    host = find_host(command.app, port=command.port, key=command.key)
    function = host.get(f"/admin/functions/{url_segment(command.target)}")
    if function.status == 404:
        raise ConfigurationError(f"The app at port {host.port} has no function '{command.target}'.")
    facts = function.content(FUNCTION)
    bindings = facts["config"]["bindings"]
    trigger = next((each for each in bindings if each["type"].lower().endswith("trigger")), {"type": "trigger"})
    path = event_path(facts["name"], trigger["type"], member_of(trigger, "source"))
    headers = {"Content-Type": "application/json", EVENT_TYPE_HEADER: "Notification"}
    response = host.send("POST", path, json.dumps(events).encode(), headers)
    if response.status >= 400:
        hint = "" if response.body else " The console of the host shows why."
        raise NotSent(f"The event was not processed. {response.refusal()}{hint}")
    if command.json:
        print_json({"kind": "eventgrid", "function": facts["name"], "events": len(events)})
    sys.stderr.write(f"Sent {len(events)} event{'s' if len(events) > 1 else ''} to function '{facts['name']}'.\n")
    return exit_codes.OK
