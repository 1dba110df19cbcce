"""Sequence diagram, event table, comparison and source of the page Instance."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.dashboard.durable.comparison import compare
from emulator.dashboard.durable.event_table import event_lines
from emulator.dashboard.durable.function_source import documented_example, function_source
from emulator.dashboard.durable.sequence import sequence
from emulator.dashboard.durable.timeline import timeline
from emulator.instant import Instant
from tests.dashboard.histories import recorded_history

NOW = Instant.parse("2027-01-01T00:00:00Z")


def arrows(scenario: str, instance_id: str = "i1") -> list[tuple[str, str, str, str]]:
    diagram = sequence(recorded_history(scenario, instance_id), limit=1000)
    names = [line.target or line.name for line in diagram.lifelines]
    return [
        (names[message.source], message.label, names[message.destination], message.style.value)
        for message in diagram.messages
    ]


def test_an_activity_is_called_and_returns() -> None:
    assert arrows("activity_fail_caught") == [
        ("client", "start", "activity_fail_caught", "call"),
        ("activity_fail_caught", "Boom", "Boom", "call"),
        ("Boom", "failed", "activity_fail_caught", "failure"),
        ("activity_fail_caught", "Hello", "Hello", "call"),
        ("Hello", "result", "activity_fail_caught", "return"),
        ("activity_fail_caught", "completed", "client", "return"),
    ]


def test_a_child_is_started_by_its_parent_and_answers_it() -> None:
    child = arrows("rewind_with_child", "the-child")
    assert child[0] == ("i1", "start", "flaky_once", "call")
    assert child[-1] == ("flaky_once", "completed", "i1", "return")
    parent = arrows("rewind_with_child")
    assert ("call_child", "start", "the-child", "call") in parent


def test_entities_and_clients_are_lifelines() -> None:
    entity = arrows("entity_call_fails")
    assert ("entity_call_fails", "fail", "@counter@k1", "call") in entity
    assert ("@counter@k1", "failed", "entity_call_fails", "failure") in entity
    assert ("client", "event approval", "approval", "oneWay") in arrows("approval_wins")
    suspended = [label for _, label, _, _ in arrows("suspend_resume_then_event")]
    assert suspended.index("suspend") < suspended.index("resume") < suspended.index("event approval")


def test_a_long_diagram_is_cut() -> None:
    diagram = sequence(recorded_history("fan_out_120"), limit=50)
    assert diagram.is_cut
    assert len(diagram.messages) == 50


def test_results_belong_to_the_events_that_scheduled_them() -> None:
    lines = event_lines(recorded_history("activity_fail_caught"), payload_limit=20)
    [failed] = [line for line in lines if line.event.type_name == "TaskFailed"]
    assert failed.belongs_to is not None
    assert lines[failed.belongs_to].event.type_name == "TaskScheduled"
    assert failed.subject == "Boom"
    assert failed.took is not None
    details = {payload.name: payload for payload in failed.payloads}
    assert len(details["Reason"].text) == 20 < details["Reason"].length


def test_lines_of_entity_calls_name_the_operation() -> None:
    lines = event_lines(recorded_history("entity_calls"), payload_limit=100)
    named = [(line.event.type_name, line.subject) for line in lines if line.subject]
    assert ("EventSent", "get") in named
    assert ("EventRaised", "get") in named


def test_a_comparison_finds_the_first_other_decision() -> None:
    first = timeline(recorded_history("activity_fail_caught"), now=NOW)
    second = timeline(recorded_history("activity_fail_uncaught"), now=NOW)
    steps = compare(first, second)
    assert [(step.change.value, (step.left or step.right).name) for step in steps] == [  # type: ignore[union-attr]
        ("same", "Boom"),
        ("onlyLeft", "Hello"),
    ]


def test_a_comparison_finds_other_outcomes() -> None:
    success = timeline(recorded_history("retry_success"), now=NOW)
    failure = timeline(recorded_history("retry_never"), now=NOW)
    [step] = compare(success, failure)
    assert step.change.value == "outcome"


def test_the_source_of_a_function_has_its_decorators(tmp_path: Path) -> None:
    text = """import x

@app.trigger()
@other
def flow(context):
    def inner():
        pass
    yield 1

end = 1
"""
    (tmp_path / "function_app.py").write_text(text, encoding="utf-8")
    found = function_source("function_app.py:5", tmp_path)
    assert found is not None
    assert (found.file, found.first_line, found.lines[0], found.lines[-1]) == (
        "function_app.py",
        3,
        "@app.trigger()",
        "    yield 1",
    )
    inner = function_source("function_app.py:6", tmp_path)
    assert inner is not None
    assert inner.first_line == 3
    assert function_source("function_app.py:50", tmp_path) is None
    assert function_source("missing.py:1", tmp_path) is None


def test_the_source_includes_a_helper_of_the_same_file(tmp_path: Path) -> None:
    text = "def flow(context):\n    yield from helper(context)\n\n\ndef helper(context):\n    yield 1\n\n\nend = 1\n"
    (tmp_path / "function_app.py").write_text(text, encoding="utf-8")
    found = function_source("function_app.py:1", tmp_path, with_lines=[6, 9])
    assert found is not None
    assert (found.first_line, found.lines[-1]) == (1, "    yield 1")


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ('Take an order: {"item": "book", "of": {"n": 1}}, or {"other": 1}.', {"item": "book", "of": {"n": 1}}),
        ('GET /orders/{id}: an order.\n\n    {"a":\n     [1]}\n', {"a": [1]}),
        ("Nothing { that } is JSON {.", None),
        ("", None),
    ],
)
def test_an_example_is_the_first_json_object_of_the_docstring(docstring: str, expected: object, tmp_path: Path) -> None:
    text = f"@decorated\ndef flow(context):\n    '''{docstring}'''\n"
    (tmp_path / "function_app.py").write_text(text, encoding="utf-8")
    assert documented_example("function_app.py:2", tmp_path) == expected
