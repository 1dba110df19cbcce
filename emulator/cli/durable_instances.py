"""Commands `azemu durable …` for orchestration instances."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from emulator import bound_json as json
from emulator import exit_codes
from emulator.cli.data_arguments import input_body, json_body
from emulator.cli.durable_access import DurableApi, RequestRefused, call
from emulator.cli.durable_arguments import (
    Control,
    ListInstances,
    Purge,
    RaiseEvent,
    Restart,
    ShowInstance,
    StartInstance,
)
from emulator.cli.durable_lists import INSTANCE, ListFormat, instance_pages, print_list
from emulator.cli.printing import ProgressLine, Table, confirm, one_line, print_json, shown_value
from emulator.clock import SystemClock
from emulator.dotnet.failure_text import readable_failure
from emulator.durable.core.identity import RuntimeStatus

# The durable API has no request that waits for the end of an instance.
_POLL_SECONDS: Final = 0.5
_SHOWN_DETAIL: Final = 160
_DETAILS: Final = {
    "Input": "input",
    "Result": "result",
    "Reason": "reason",
    "Details": "details",
    "FireAt": "due",
    "OrchestrationStatus": "status",
    "InstanceId": "instance",
}
_STARTED: Final = {"id": str}

_ENDED: Final = frozenset(status.wire_name for status in RuntimeStatus if status.is_terminal)


async def list_instances(api: DurableApi, command: ListInstances) -> None:
    """Run `azemu durable list`."""
    shown_as = ListFormat(
        member="instances",
        titles=("INSTANCE ID", "NAME", "STATUS", "CREATED", "LAST UPDATED"),
        row=lambda item: (
            item["instanceId"],
            item["name"] or "",
            item["runtimeStatus"],
            item["createdTime"],
            item["lastUpdatedTime"],
        ),
        none="There are no instances." if command.filter.is_empty else "No instance matches.",
    )
    pages = instance_pages(api, command.filter, top=command.top)
    await print_list(pages, shown_as, top=command.top, as_json=command.json)


async def show_instance(api: DurableApi, command: ShowInstance) -> None:
    """Run `azemu durable show`."""
    # Without the second parameter the API leaves out results.
    history = {"showHistory": "true", "showHistoryOutput": "true"} if command.history else {}
    instance = await _instance(api, command.instance_id, history)
    if command.json:
        print_json({"instance": instance})
        return
    _print_instance(instance)
    if rows := history_rows(instance.get("historyEvents", ())):
        sys.stdout.write("\n")
        Table("TIME (UTC)", "EVENT", "NAME", "DETAILS").print(rows)


async def _instance(api: DurableApi, instance_id: str, query: Mapping[str, str | None] | None = None) -> Any:
    response = await call(api, "GET", ("instances", instance_id), query)
    if response.status == 404:
        raise _not_found(instance_id)
    return response.content(INSTANCE)


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
            # Tracebacks are printed as lines, in the column of the values.
            is_failure = member == "output" and instance["runtimeStatus"] == RuntimeStatus.FAILED.wire_name
            lines = _readable(value, is_failure=is_failure).splitlines() or [""]
            text = "\n".join([one_line(lines[0]), *(f"{'':15}{one_line(line)}" for line in lines[1:])])
            sys.stdout.write(f"{name + ':':15}{text}\n")


def history_rows(events: Iterable[Mapping[str, Any]]) -> Sequence[tuple[str, str, str, str]]:
    """Return the rows of the table of a history. Messages of entities are shown as what they say."""
    rows = []
    operations: dict[str, str] = {}
    for stored in events:
        event = dict(stored)
        # Calls of entities are events whose payload is a message of the extension: a RequestMessage with the operation
        # and its input, and a ResponseMessage with the result, whose event has the id of the request as its name.
        if event["EventType"] == "EventSent" and event["InstanceId"].startswith("@"):
            with suppress(ValueError, TypeError, AttributeError):
                message = json.loads(event["Input"])
                operation = message.get("op") or ("lock" if "lockset" in message else "release the lock")
                operations[message["id"]] = operation
                event |= {"Name": operation, "Input": message.get("input")}
        elif event["EventType"] == "EventRaised" and event["Name"] in operations:
            with suppress(ValueError, TypeError, AttributeError):
                message = json.loads(event["Input"])
                result = {"Reason" if "exceptionType" in message else "Result": message.get("result")}
                event |= {"Name": operations[event["Name"]], "Input": None, **result}
        is_failure = "Failed" in (event.get("OrchestrationStatus"), event["EventType"][-len("Failed") :])
        details = [
            f"{label}: {one_line(' '.join(_readable(event[name], is_failure=is_failure).split()), _SHOWN_DETAIL)}"
            for name, label in _DETAILS.items()
            if event.get(name) is not None
        ]
        rows.append(
            (
                # Milliseconds, of the seven digits that are stored.
                event["Timestamp"][:23].rstrip("Z"),
                event["EventType"],
                event.get("FunctionName") or event.get("Name") or "",
                ", ".join(details),
            )
        )
    return rows


def _readable(value: Any, *, is_failure: bool = False) -> str:
    """Return a stored value as text for users, without the encodings of a JSON string around it.

    `is_failure`: it is the text of a failure, which contains exceptions in JSON.
    """
    # Values are JSON texts, and those of some clients are JSON texts in a JSON string.
    while isinstance(value, str) and value.startswith('"'):
        try:
            value = json.loads(value)
        except ValueError:
            break
    return readable_failure(shown_value(value)) if is_failure else shown_value(value)


async def start_instance(api: DurableApi, command: StartInstance) -> int:
    """Run `azemu durable start`. Return the exit code: 1 if the instance was awaited and has not completed."""
    path = ["orchestrators", command.name, *([command.instance_id] if command.instance_id else [])]
    body = b"" if command.data is None else input_body(command.data)
    response = await call(api, "POST", path, {"version": command.version}, body=body)
    if response.status == 404:
        raise RequestRefused(f"The {api.description} cannot start '{command.name}': its name or id cannot be a path.")
    instance_id = response.content(_STARTED)["id"]
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
    # Not to the standard output, on which scripts expect the output of a completed instance.
    if status in _ENDED:
        reason = f" {_readable(instance['output'], is_failure=True)}" if instance["output"] is not None else ""
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


async def raise_event(api: DurableApi, command: RaiseEvent) -> None:
    """Run `azemu durable raise`."""
    body = b"null" if command.data is None else json_body(command.data)
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


async def control(api: DurableApi, command: Control) -> None:
    """Run `azemu durable terminate`, `suspend`, `resume` or `rewind`."""
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


async def restart(api: DurableApi, command: Restart) -> None:
    """Run `azemu durable restart`."""
    query = {"restartWithNewInstanceId": "false" if command.keep_id else "true"}
    response = await call(api, "POST", ("instances", command.instance_id, "restart"), query)
    if response.status == 404:
        raise _not_found(command.instance_id)
    instance_id = response.content(_STARTED)["id"]
    if command.json:
        print_json({"instanceId": instance_id})
    else:
        sys.stdout.write(f"{instance_id}\n")


async def purge(api: DurableApi, command: Purge) -> None:
    """Run `azemu durable purge`. Raises Declined if the user does not confirm."""
    ids = list(command.instance_ids)
    if not ids:
        with ProgressLine() as progress:
            async for page in instance_pages(api, command.filter):
                # No others can be purged.
                ids += [item["instanceId"] for item in page if item["runtimeStatus"] in _ENDED]
                progress.show(f"Looking for instances: {len(ids)} found …")
    if ids:
        count = "1 instance" if len(ids) == 1 else f"{len(ids)} instances"
        confirm(f"Delete {count} of the {api.description}?", yes=command.yes)
    purged = 0
    try:
        with ProgressLine() as progress:
            # One by one: the API's purge by filter would not say how far it is.
            for number, instance_id in enumerate(ids):
                progress.show(f"Deleting instances: {number} of {len(ids)} …")
                response = await call(api, "DELETE", ("instances", instance_id))
                if response.status != 404:
                    purged += response.content({"instancesDeleted": int})["instancesDeleted"]
                # An instance that the filter has found may have been purged by others meanwhile.
                elif command.instance_ids:
                    raise _not_found(instance_id)
    finally:
        if command.json:
            print_json({"instancesDeleted": purged})
        else:
            sys.stderr.write(f"Deleted {purged} instance{'' if purged == 1 else 's'}.\n")
