"""The recorded invocations of the real host: the same text in gives the same text out."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.clock import SystemClock
from emulator.worker.inprocess import InProcessWorker
from emulator.worker.port import Datum, FunctionFailed, FunctionMetadata, Invocation
from tests.recordings import GOLDEN, RECORDED_APP
from tests.sdk_releases import DURABLE, needs

# Recorded with this release. Others write the same decisions with other members, and errors with other lines.
pytestmark = needs(DURABLE, "1.7.0")


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[InProcessWorker]:
    app = shutil.copytree(RECORDED_APP, tmp_path / "app")
    async with InProcessWorker(app, settings={}, clock=SystemClock(), on_log=lambda record: None) as worker:
        yield worker


def calls(scenario: str) -> Iterator[dict[str, Any]]:
    for call in GOLDEN.invocations(scenario):
        # Activities that count their attempts or sleep depend on more than their input.
        if call["kind"] != "activity" or call["name"] not in ("Flaky", "Slow", "Sleep"):
            yield call


@pytest.mark.parametrize("scenario", GOLDEN.scenarios)
async def test_recorded_calls(worker: InProcessWorker, scenario: str) -> None:
    functions = {function.name.lower(): function for function in await worker.load()}
    for call in calls(scenario):
        got = await answer(worker, functions[call["name"].lower()], call["in"])
        assert comparable(got) == comparable(call["out"]), call["n"]


async def answer(worker: InProcessWorker, function: FunctionMetadata, text: str) -> dict[str, str]:
    trigger = next(binding for binding in function.bindings if binding.is_trigger)
    invocation = Invocation(id="i", function=function.name, inputs={trigger.name: Datum("string", text)})
    try:
        returned = await worker.invoke(invocation)
    except FunctionFailed as failed:
        return {"error": f"{failed.type_name}: {failed.text}", "stack": failed.stack}
    assert returned.value is not None
    return {"type": returned.value.type, "value": returned.value.value}


def comparable(answer: dict[str, str]) -> dict[str, object]:
    """Without the times of entity operations, and with the frames that do not depend on the machine's Python."""
    texts = {name: re.sub(r'"(duration|startTime)": \d+', r'"\1": 0', text) for name, text in answer.items()}
    return {**texts, "stack": frames(texts.get("stack", ""))}


def frames(stack: str) -> list[tuple[str, str, str]]:
    found = re.findall(r'File "([^"]*)", line (\d+), in (.*)', stack)
    files = [(re.split(r"[\\/]", path), line, name) for path, line, name in found]
    ours = {"site-packages", "app", "wwwroot"}
    return [(parts[-1], line, name) for parts, line, name in files if ours & set(parts)]
