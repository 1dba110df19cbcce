"""The messages in docs/testing.md are those that a test gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.testing import HistoryDiverged, NotDeterministic, NothingLeft, replay, start_sync
from tests.doc_sessions import blocks_of
from tests.running_apps import write_app
from tests.sdk_releases import DURABLE, needs
from tests.testing.test_replay import recorded_rows, write_shop

GUIDE = Path(__file__).parents[2] / "docs" / "testing.md"
TWO_TASKS = """
import azure.durable_functions as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def pay(context):
    first = context.call_activity("charge", 1)
    yield context.task_all([first, context.wait_for_external_event("go")])


@app.activity_trigger(input_name="amount")
def charge(amount: int) -> int:
    return amount
"""
NOT_DETERMINISTIC = """
import os
from datetime import datetime

import azure.durable_functions as df

app = df.DFApp()


# An orchestrator whose mistakes are in the lines that the guide names.
#
#
#
#
#
@app.orchestration_trigger(context_name="context")
def approve(context):
    begin = datetime.now()
    if begin and os.environ.get("DAYS"):
        yield context.wait_for_external_event("go")
"""


def message(beginning: str) -> str:
    """Return the message of the guide that begins so, in one line."""
    [found] = [text for language, text in blocks_of(GUIDE) if language == "text" and text.startswith(beginning)]
    return " ".join(found.split())


def test_an_instance_that_cannot_end(tmp_path: Path) -> None:
    write_app(tmp_path, TWO_TASKS.lstrip())
    with start_sync(tmp_path) as app, pytest.raises(NothingLeft) as caught:
        app.wait(app.client.start_new("pay", instance_id="p1"))
    assert " ".join(str(caught.value).split()) == message("Waited for")


def test_an_orchestrator_that_is_not_deterministic(tmp_path: Path) -> None:
    write_app(tmp_path, NOT_DETERMINISTIC.lstrip())
    with pytest.raises(NotDeterministic) as caught, start_sync(tmp_path) as app:
        app.wait(app.client.start_new("approve"))
    printed = " ".join(map(str, caught.value.findings)).replace(str(tmp_path / "function_app.py"), "function_app.py")
    assert printed == message('The orchestrator "approve"')


@needs(DURABLE, "1.7.0")
def test_a_history_that_the_code_does_not_follow(tmp_path: Path) -> None:
    app = write_shop(
        tmp_path,
        "hello_cities",
        'first = yield context.call_activity("Hello", "Tokyo")',
        'second = yield context.call_activity("Echo", first)',
        "return second",
    )
    with pytest.raises(HistoryDiverged) as caught:
        replay(app, recorded_rows("hello_cities"))
    printed = " ".join(str(caught.value).split()).replace(str(app / "function_app.py"), "function_app.py")
    assert printed.replace(caught.value.divergence.instance_id, "i1") == message('The orchestrator "hello_cities"')
