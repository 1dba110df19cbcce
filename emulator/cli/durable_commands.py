"""Commands `azemu durable …`: requests to the durable HTTP API, and what they print."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, assert_never

from emulator import bound_json as json
from emulator import exit_codes
from emulator.cli.durable_access import DurableApi, RequestRefused, call, open_durable_api
from emulator.cli.durable_arguments import (
    Control,
    InstanceFilter,
    ListEntities,
    ListInstances,
    Purge,
    RaiseEvent,
    Restart,
    ShowInstance,
    Signal,
    StartInstance,
)
from emulator.cli.host_client import Response, read_argument
from emulator.cli.printing import ProgressLine, Table, confirm, one_line, print_json, shown_value
from emulator.clock import SystemClock
from emulator.durable.core.identity import RuntimeStatus
from emulator.errors import ConfigurationError

_PAGE: Final = 200
_POLL_SECONDS: Final = 0.5
_SHOWN_STATE: Final = 100
_SHOWN_DETAIL: Final = 160
# Entities are stored as orchestrations, and their instance ids begin with this.
_ENTITY: Final = "@"

_ENDED: Final = frozenset(status.wire_name for status in RuntimeStatus if status.is_terminal)


DurableCommand = (
    ListInstances | ShowInstance | StartInstance | RaiseEvent | Control | Restart | Purge | ListEntities | Signal
)


def run_durable(command: DurableCommand) -> int:
    """Run a command and return its exit code: 1 if an instance was awaited and has not completed.

    Raises ConfigurationError, InvocationFailed, RequestRefused, HostNotRunning for a port that was given, Declined if
    the user does not confirm a deletion, and what the storage raises.
    """
    return asyncio.run(_run(command))


async def _run(command: DurableCommand) -> int:
    # A start and a signal may be what creates the hub.
    needs_hub = not isinstance(command, StartInstance | Signal)
    async with open_durable_api(command.where, needs_hub=needs_hub) as api:
        match command:
            case ListInstances():
                await _list(api, command)
            case ShowInstance():
                await _show(api, command)
            case StartInstance():
                return await _start(api, command)
            case RaiseEvent():
                await _raise(api, command)
            case Control():
                await _control(api, command)
            case Restart():
                await _restart(api, command)
            case Purge():
                await _purge(api, command)
            case ListEntities():
                await _entities(api, command)
            case Signal():
                await _signal(api, command)
            case _:
                assert_never(command)
    return exit_codes.OK


# Instances ----------------------------------------------------------------------------------------------------


async def _list(api: DurableApi, command: ListInstances) -> None:
    table = Table("INSTANCE ID", "NAME", "STATUS", "CREATED", "LAST UPDATED")
    collected: list[Mapping[str, Any]] = []
    shown, more = 0, False
    with ProgressLine() as progress:
        async for page, is_cut in _first(_instance_pages(api, command.filter, top=command.top), command.top):
            shown, more = shown + len(page), is_cut
            if command.json:
                collected += page
            else:
                progress.clear()
                # Printed page by page: a large hub has more pages than a user waits for.
                table.print(
                    [
                        (
                            item["instanceId"],
                            item["name"] or "",
                            item["runtimeStatus"],
                            item["createdTime"],
                            item["lastUpdatedTime"],
                        )
                        for item in page
                    ]
                )
            progress.show(f"Reading the task hub: {shown} found …")
    if command.json:
        print_json({"instances": collected, "more": more})
    elif not shown:
        sys.stderr.write("No instance matches.\n" if not command.filter.is_empty else "There are no instances.\n")
    elif more:
        sys.stderr.write(f"There are more than {command.top}. Show more with --top N, or all with --top 0.\n")


async def _instance_pages(
    api: DurableApi, where: InstanceFilter, *, top: int = 0
) -> AsyncIterator[list[Mapping[str, Any]]]:
    """Yield pages of the orchestrations that match the filter. `top`: how many are needed; 0: all."""
    query = {
        # One more than needed, to know whether there are more.
        "top": str(min(top + 1, _PAGE) if top and where.name is None else _PAGE),
        "instanceIdPrefix": where.prefix,
        "createdTimeFrom": None if where.since is None else where.since.isoformat(),
        "createdTimeTo": None if where.until is None else where.until.isoformat(),
        "runtimeStatus": ",".join(where.statuses) or None,
        "showInput": "false",
    }
    async for page in _pages(api, ("instances",), query):
        yield [
            item
            for item in page
            # The API has no filter by name.
            if (where.name is None or (item["name"] or "").lower() == where.name.lower())
            and not item["instanceId"].startswith(_ENTITY)
        ]


async def _pages(
    api: DurableApi, path: Sequence[str], query: Mapping[str, str | None]
) -> AsyncIterator[list[Mapping[str, Any]]]:
    continuation, first = "", True
    while first or continuation:
        response = await call(api, "GET", path, query, continuation=continuation)
        yield _content(response)
        continuation, first = response.headers.get("x-ms-continuation-token", ""), False


async def _first(
    pages: AsyncIterator[list[Mapping[str, Any]]], top: int
) -> AsyncIterator[tuple[list[Mapping[str, Any]], bool]]:
    """Yield the first `top` items (0: all) page by page, and whether there are more."""
    left = top
    async for page in pages:
        if top and len(page) > left:
            yield page[:left], True
            return
        left -= len(page)
        yield page, False


def _content(response: Response) -> Any:
    content = response.json()
    if content is None:
        raise RequestRefused("The response of the durable API is not JSON.")
    return content


async def _show(api: DurableApi, command: ShowInstance) -> None:
    history = {"showHistory": "true", "showHistoryOutput": "true"} if command.history else {}
    instance = await _instance(api, command.instance_id, history)
    if command.json:
        print_json({"instance": instance})
        return
    _print_instance(instance)
    if rows := [_history_row(event) for event in instance.get("historyEvents", ())]:
        sys.stdout.write("\n")
        Table("TIME", "EVENT", "NAME", "DETAILS").print(rows)


async def _instance(api: DurableApi, instance_id: str, query: Mapping[str, str | None] | None = None) -> Any:
    response = await call(api, "GET", ("instances", instance_id), query)
    if response.status == 404:
        raise _not_found(instance_id)
    return _content(response)


def _not_found(instance_id: str) -> RequestRefused:
    return RequestRefused(f"There is no instance '{instance_id}'. `azemu durable list` shows the instances.")


def _print_instance(instance: Mapping[str, Any]) -> None:
    names = {
        "instanceId": "instance id",
        "name": "name",
        "version": "version",
        "parentInstanceId": "parent",
        "runtimeStatus": "status",
        "createdTime": "created",
        "lastUpdatedTime": "last updated",
        "input": "input",
        "customStatus": "custom status",
        "output": "output",
    }
    for member, name in names.items():
        value = instance.get(member)
        if value is not None:
            lines = _readable(value).splitlines() or [""]
            text = "\n".join([one_line(lines[0]), *(f"{'':15}{one_line(line)}" for line in lines[1:])])
            sys.stdout.write(f"{name + ':':15}{text}\n")


def _history_row(event: Mapping[str, Any]) -> tuple[str, str, str, str]:
    details = [
        f"{name.lower()}: {one_line(_readable(event[name]), _SHOWN_DETAIL)}"
        for name in ("Input", "Result", "Reason", "Details", "FireAt", "OrchestrationStatus", "InstanceId")
        if event.get(name) is not None
    ]
    return (
        event["Timestamp"][:23].rstrip("Z"),
        event["EventType"],
        event.get("FunctionName") or event.get("Name") or "",
        ", ".join(details),
    )


def _readable(value: Any) -> str:
    """Return a stored value as text for users, without the encodings of a JSON string around it."""
    while isinstance(value, str) and value.startswith('"'):
        try:
            value = json.loads(value)
        except ValueError:
            break
    return shown_value(value)


async def _start(api: DurableApi, command: StartInstance) -> int:
    path = ["orchestrators", command.name, *([command.instance_id] if command.instance_id else [])]
    body = b"" if command.data is None else _input_body(command.data)
    response = await call(api, "POST", path, {"version": command.version}, body=body)
    if response.status == 404:
        raise RequestRefused(f"The {api.description} cannot start '{command.name}': its name or id cannot be a path.")
    instance_id = _content(response)["id"]
    if not command.wait:
        if command.json:
            print_json({"instanceId": instance_id})
        else:
            sys.stdout.write(f"{instance_id}\n")
        return exit_codes.OK
    instance = await _wait_for_end(api, instance_id, command.timeout)
    status = instance["runtimeStatus"]
    if command.json:
        print_json({"instanceId": instance_id, "instance": instance})
    elif status == RuntimeStatus.COMPLETED.wire_name:
        sys.stdout.write(f"{shown_value(instance['output'])}\n")
    if status == RuntimeStatus.COMPLETED.wire_name:
        return exit_codes.OK
    if status in _ENDED:
        reason = f" {shown_value(instance['output'])}" if instance["output"] is not None else ""
        sys.stderr.write(f"Instance '{instance_id}' has ended with the status {status}.{reason}\n")
    else:
        sys.stderr.write(
            f"Instance '{instance_id}' has the status {status} after {command.timeout:g} seconds. It continues; "
            f"`azemu durable show {instance_id}` shows it.\n"
        )
    return exit_codes.FAILED


async def _wait_for_end(api: DurableApi, instance_id: str, timeout: float | None) -> Mapping[str, Any]:
    clock = SystemClock()
    started_at = clock.now()
    with ProgressLine() as progress:
        while True:
            instance: Mapping[str, Any] = await _instance(api, instance_id)
            seconds = (clock.now() - started_at).total_seconds()
            if instance["runtimeStatus"] in _ENDED or (timeout is not None and seconds >= timeout):
                return instance
            progress.show(f"Waiting for '{instance_id}' ({instance['runtimeStatus']}, {seconds:.0f} s) …")
            await clock.sleep(_POLL_SECONDS if timeout is None else min(_POLL_SECONDS, max(timeout - seconds, 0)))


async def _raise(api: DurableApi, command: RaiseEvent) -> None:
    body = b"null" if command.data is None else _json_body(command.data)
    response = await call(
        api,
        "POST",
        ("instances", command.instance_id, "raiseEvent", command.event),
        body=body,
        instance_id=command.instance_id,
    )
    if response.status == 404:
        raise _not_found(command.instance_id)
    _report(api, command.json, "raise", [command.instance_id], f"Sent the event '{command.event}' to")


async def _control(api: DurableApi, command: Control) -> None:
    done = []
    try:
        for instance_id in command.instance_ids:
            path = ("instances", instance_id, command.verb)
            response = await call(api, "POST", path, {"reason": command.reason}, instance_id=instance_id)
            if response.status == 404:
                raise _not_found(instance_id)
            done.append(instance_id)
    finally:
        # Also after an error: the user must know which instances the command has reached.
        if done:
            _report(api, command.json, command.verb, done, f"Sent '{command.verb}' to")


def _report(api: DurableApi, as_json: bool, operation: str, instance_ids: Sequence[str], text: str) -> None:
    if as_json:
        print_json({"operation": operation, "instanceIds": instance_ids})
    else:
        sys.stderr.write(f"{text} {', '.join(instance_ids)}.{api.note}\n")


async def _restart(api: DurableApi, command: Restart) -> None:
    query = {"restartWithNewInstanceId": "false" if command.keep_id else "true"}
    instance_id = _content(await call(api, "POST", ("instances", command.instance_id, "restart"), query))["id"]
    if command.json:
        print_json({"instanceId": instance_id})
    else:
        sys.stdout.write(f"{instance_id}\n")


async def _purge(api: DurableApi, command: Purge) -> None:
    ids = list(command.instance_ids) or await _ended_instances(api, command.filter)
    if ids:
        count = "1 instance" if len(ids) == 1 else f"{len(ids)} instances"
        confirm(f"Delete {count} of the {api.description}?", yes=command.yes)
    purged = 0
    try:
        with ProgressLine() as progress:
            for number, instance_id in enumerate(ids):
                progress.show(f"Deleting instances: {number} of {len(ids)} …")
                response = await call(api, "DELETE", ("instances", instance_id))
                if response.status != 404:
                    purged += _content(response)["instancesDeleted"]
                elif command.instance_ids:
                    raise _not_found(instance_id)
    finally:
        if command.json:
            print_json({"instancesDeleted": purged})
        else:
            sys.stderr.write(f"Deleted {purged} instance{'' if purged == 1 else 's'}.\n")


async def _ended_instances(api: DurableApi, where: InstanceFilter) -> list[str]:
    """Return the ids of the instances that match the filter and have ended: no others can be purged."""
    ids: list[str] = []
    with ProgressLine() as progress:
        async for page in _instance_pages(api, where):
            ids += [item["instanceId"] for item in page if item["runtimeStatus"] in _ENDED]
            progress.show(f"Looking for instances: {len(ids)} found …")
    return ids


# Entities -----------------------------------------------------------------------------------------------------


async def _entities(api: DurableApi, command: ListEntities) -> None:
    table = Table("ENTITY", "LAST OPERATION", "STATE")
    collected: list[Mapping[str, Any]] = []
    shown, more = 0, False
    path = ("entities", *([command.name] if command.name else ()))
    query = {"fetchState": "true", "top": str(min(command.top + 1, _PAGE) if command.top else _PAGE)}
    async for page, is_cut in _first(_pages(api, path, query), command.top):
        shown, more = shown + len(page), is_cut
        if command.json:
            collected += page
        else:
            table.print(
                [
                    (
                        f"{item['entityId']['name']}@{item['entityId']['key']}",
                        item["lastOperationTime"][:19] + "Z",
                        one_line(json.dumps(item["state"], ensure_ascii=False), _SHOWN_STATE),
                    )
                    for item in page
                ]
            )
    if command.json:
        print_json({"entities": collected, "more": more})
    elif not shown:
        sys.stderr.write("There are no entities.\n")
    elif more:
        sys.stderr.write(f"There are more than {command.top}. Show more with --top N, or all with --top 0.\n")


async def _signal(api: DurableApi, command: Signal) -> None:
    body = b"" if command.data is None else _input_body(command.data)
    response = await call(api, "POST", ("entities", command.name, command.key), {"op": command.operation}, body=body)
    if response.status == 404:
        raise RequestRefused(f"The {api.description} has no entity '{command.name}@{command.key}'.")
    if command.json:
        entity = {"name": command.name.lower(), "key": command.key}
        print_json({"operation": "signal", "entityId": entity})
    else:
        sys.stderr.write(f"Sent '{command.operation}' to {command.name}@{command.key}.{api.note}\n")


# Data ---------------------------------------------------------------------------------------------------------


def _input_body(text: str) -> bytes:
    """Return the body for an input, encoded as the client of azure-functions-durable does it. See `_json_body`."""
    # JSON text in a JSON string: functions in Python decode their input twice (management/plain_input.py).
    return json.dumps(_json_body(text).decode()).encode()


def _json_body(text: str) -> bytes:
    """Return the JSON of a data argument.

    A text that does not look like JSON becomes a JSON string. Raises ConfigurationError.
    """
    data = read_argument(text)
    try:
        content = data.decode()
    except UnicodeDecodeError:
        raise ConfigurationError("The data is not text in UTF-8. Durable functions take JSON.") from None
    try:
        json.loads(content)
    except ValueError as error:
        # A mistake in an object must not become a string silently.
        if text.startswith("@") or content.lstrip()[:1] in ("{", "[", '"'):
            raise ConfigurationError(f"The data is not JSON: {error}.") from None
        content = json.dumps(content)
    return content.encode()
