"""Tests that are made from a recorded run: a replay test, and a test that repeats the run in virtual time.

The second one starts the orchestration with the recorded input, lets activities return their recorded results, raises
the recorded events at their times, and compares the output.
"""

from __future__ import annotations

import pprint
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any, Final
from urllib.parse import quote

from emulator import bound_json as json
from emulator.durable.core.events import (
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
)
from emulator.durable.core.fork import entity_requests
from emulator.durable.core.identity import RuntimeStatus
from emulator.histories.document import RecordedInstance, read_document

_WIDTH: Final = 100
_MANAGEMENT: Final = "/runtime/webhooks/durabletask"


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedTests:
    """Files of generated tests. `history_name`: where the test expects the history, relative to the test file.

    `omitted`: why there is no test that repeats the run; None if there is one.
    """

    test_name: str
    test: str
    history_name: str
    omitted: str | None


def generated_tests(document: Any, *, name: str | None, levels_to_app: int) -> GeneratedTests:
    """Make tests of a history file. `name`: of the test file without `test_`, None: that of the instance.

    `levels_to_app`: how many folders the app is above the folder of the test file. Raises UnreadableHistory.
    """
    instances = read_document(document)
    slug = _slug(name or instances[0].instance_id)
    history_name = f"histories/{slug}.json"
    # A replay test needs no results, so it is possible for each history.
    omitted = _reason_to_omit(instances)
    replay_test = f"""
def test_{slug}_follows_its_recorded_history() -> None:
    assert replay(APP, HISTORY) > 0
"""
    run_test = "" if omitted else _run_test(slug, instances)
    imports = "replay" if omitted else "replay, start_sync"
    text = f'''"""The recorded run {_docstring(instances[0].instance_id)}: made by `azemu history pytest`."""

from pathlib import Path

from emulator.testing import {imports}

APP = Path(__file__).resolve().parents[{levels_to_app}]
HISTORY = Path(__file__).parent / "{history_name}"

{replay_test}{run_test}'''
    return GeneratedTests(test_name=f"test_{slug}.py", test=text, history_name=history_name, omitted=omitted)


def _reason_to_omit(instances: Sequence[RecordedInstance]) -> str | None:
    if not any(isinstance(event, ExecutionCompleted) for event in instances[0].history):
        return "the instance has not ended, so there is no output to compare"
    # Sub-orchestrations run in the test, too.
    scheduled = {event.name for instance in instances for event in instance.history if isinstance(event, TaskScheduled)}
    if any(name.startswith("BuiltIn::") for name in scheduled):
        return "the orchestration sends HTTP requests with call_http, whose responses a test cannot replace"
    return None


def _run_test(slug: str, instances: Sequence[RecordedInstance]) -> str:
    history = instances[0].history
    started = next(event for event in history if isinstance(event, ExecutionStarted))
    ended = next(event for event in history if isinstance(event, ExecutionCompleted))
    # One fake for each activity, which returns its results in the order of the calls.
    results = _activity_results(instances)
    names = _python_names(results)
    lines = [
        f'"""Repeat {_docstring(instances[0].instance_id)} with the recorded results of activities, and events."""'
    ]
    for activity, outcomes in results.items():
        lines.append(f"results_of_{names[activity]} = iter({_literal(outcomes)})")
    for activity, name in names.items():
        lines += [
            "",
            f"async def fake_{name}(_: object) -> object:",
            f"    # In the order in which the recorded run has called {activity}.",
            f"    kind, value = next(results_of_{name})",
            '    if kind == "error":',
            "        raise RuntimeError(value)",
            "    return value",
        ]
    body = [f"app.replace({activity!r}, fake_{name})" for activity, name in names.items()]
    body += _start_lines(instances[0].instance_id, started)
    body += _event_lines(instances[0].instance_id, history, started)
    body.append(f"status = app.wait({instances[0].instance_id!r})")
    # The output of a failed run is its error.
    body.append(f"assert status.runtime_status.name == {ended.status.wire_name!r}, status.output")
    if ended.status is RuntimeStatus.COMPLETED:
        body.append(f"assert status.output == {_literal(_value(ended.result))}")
    indented = "\n".join(f"    {line}".rstrip() for text in lines for line in text.split("\n"))
    block = "\n".join(f"        {line}".rstrip() for text in body for line in text.split("\n"))
    return f"""

def test_{slug}_ends_as_recorded() -> None:
{indented}

    with start_sync(APP) as app:
{block}
"""


def _activity_results(instances: Sequence[RecordedInstance]) -> Mapping[str, list[tuple[str, Any]]]:
    """Return the outcomes of all calls by the activity, in the order of the calls."""
    calls: list[tuple[Any, int, int, str, tuple[str, Any]]] = []
    for position, instance in enumerate(instances):
        outcomes: dict[int, tuple[str, Any]] = {}
        for event in instance.history:
            if isinstance(event, TaskCompleted):
                outcomes[event.task_scheduled_id] = ("result", _value(event.result))
            elif isinstance(event, TaskFailed):
                # The host puts the name of the activity, and the worker the type, before the message of the exception.
                text = event.reason or ""
                found = re.search(r"Exception: (.*?)(?:\nStack|\Z)", text, re.DOTALL)
                outcomes[event.task_scheduled_id] = ("error", found.group(1) if found else text)
        calls += [
            (event.timestamp, position, event.event_id, event.name, outcomes.get(event.event_id, ("result", None)))
            for event in instance.history
            if isinstance(event, TaskScheduled)
        ]
    by_name: dict[str, list[tuple[str, Any]]] = {}
    # Parents and children call the same activities, so the times decide about the order.
    # Outcomes are not part of the key: JSON values of different types have no order.
    for _, _, _, name, outcome in sorted(calls, key=lambda call: call[:3]):
        by_name.setdefault(name, []).append(outcome)
    return by_name


def _start_lines(instance_id: str, started: ExecutionStarted) -> Iterator[str]:
    # The SDK's client encodes inputs twice, HTTP clients once; the test must store the same text.
    is_text, value = _decoded(started.input)
    if started.input is not None and not is_text:
        path = f"{_MANAGEMENT}/orchestrators/{_segment(started.name)}/{_segment(instance_id)}"
        yield f"app.post({path!r}, json={_literal(value)})"
        return
    given = "" if started.input is None else f", client_input={_literal(value)}"
    yield f"app.client.start_new({started.name!r}, instance_id={instance_id!r}{given})"


def _event_lines(instance_id: str, history: Sequence[HistoryEvent], started: ExecutionStarted) -> Iterator[str]:
    # Responses of entities are events, too, and the entities of the test send them.
    responses = {request.id for _, request in entity_requests(history)}
    moment = started.timestamp
    for event in history:
        match event:
            case EventRaised(name=name) if name not in responses:
                is_text, value = _decoded(event.input)
                if is_text or event.input is None:
                    line = f"app.client.raise_event({instance_id!r}, {name!r}, {_literal(value)})"
                else:
                    path = f"{_MANAGEMENT}/instances/{_segment(instance_id)}/raiseEvent/{_segment(name)}"
                    line = f"app.post({path!r}, json={_literal(value)})"
            case ExecutionTerminated():
                line = f"app.client.terminate({instance_id!r}, {event.input or ''!r})"
            case ExecutionSuspended():
                line = f"app.client.suspend({instance_id!r}, {event.reason or ''!r})"
            case ExecutionResumed():
                line = f"app.client.resume({instance_id!r}, {event.reason or ''!r})"
            case _:
                continue
        # Virtual time: the test takes no longer because of it.
        seconds = (event.timestamp - moment).total_seconds()
        if seconds > 0:
            yield f"app.advance(seconds={seconds:.3f})"
            moment = event.timestamp
        yield line


def _decoded(text: str | None) -> tuple[bool, Any]:
    """Return whether a payload is JSON in a JSON string, as Python clients send it, and its value."""
    value = _value(text)
    if isinstance(value, str):
        try:
            return True, json.loads(value)
        except ValueError:
            pass
    return False, value


def _value(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _literal(value: Any) -> str:
    return pprint.pformat(value, width=_WIDTH, sort_dicts=False)


def _slug(text: str) -> str:
    # Part of a file name and of a Python name.
    return re.sub(r"\W+", "_", text.lower(), flags=re.ASCII).strip("_") or "run"


def _python_names(activities: Iterable[str]) -> Mapping[str, str]:
    """Return a part of a Python name for each activity. Names such as `say-hi` and `say_hi` would get the same one."""
    names: dict[str, str] = {}
    for activity in activities:
        slug = _slug(activity)
        numbered = (f"{slug}_{number}" for number in count(2))
        names[activity] = next(name for name in chain([slug], numbered) if name not in names.values())
    return names


def _segment(text: str) -> str:
    # The durable API decodes a path twice, so that %41 in an id would become A.
    return quote(quote(text, safe="") if set("%+") & set(text) else text, safe="")


def _docstring(text: str) -> str:
    # Neither an escape sequence nor a quotation mark must end the docstring.
    return text.replace("\\", "/").replace('"', "'")
