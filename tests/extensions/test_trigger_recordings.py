"""Recordings of the trigger extensions that concern several of them, and the check that every recording is used."""

from __future__ import annotations

import base64
import re
from contextlib import nullcontext
from pathlib import Path

import pytest

from emulator.app import open_app
from emulator.clock import Clock
from emulator.config.start import StartOptions
from emulator.errors import ConfigurationError
from emulator.storage.builtin import BuiltinAccount
from emulator.virtual_time import VirtualClock
from tests.recordings.triggers import TRIGGERS
from tests.running_apps import HTTP_APP, run_app, write_app
from tests.storage_calls import StorageCalls
from tests.waiting import eventually

TESTS = Path(__file__).parents[1]

APP = """
import pathlib

RAN = pathlib.Path(__file__).with_name("ran")
RAN.mkdir(exist_ok=True)

@app.queue_trigger(arg_name="msg", queue_name="q-work", connection="AzureWebJobsStorage")
def queue(msg: func.QueueMessage):
    (RAN / f"queue {msg.get_body().decode()}").touch()

@app.blob_trigger(arg_name="blob", path="c-work/{name}", connection="AzureWebJobsStorage")
def blob(blob: func.InputStream):
    (RAN / f"blob {blob.name.replace('/', ' ')}").touch()

@app.timer_trigger(arg_name="timer", schedule="*/10 * * * * *")
def timer(timer: func.TimerRequest):
    (RAN / "timer").touch()
"""


def test_every_recording_is_compared_or_listed_as_an_exception() -> None:
    """A module that uses a recording names it, and says in its docstring what it does not compare."""
    modules = [*(TESTS / "extensions").rglob("test_*.py"), *(TESTS / "host").rglob("test_*.py")]
    named = {name for module in modules for name in re.findall(r"\w+", module.read_text(encoding="utf-8"))}
    assert set(TRIGGERS.scenarios) <= named


async def test_what_waits_while_storage_is_away_at_the_start_runs_when_it_comes(
    tmp_path: Path, account: BuiltinAccount, clock: VirtualClock
) -> None:
    """As recorded in `start_without_storage`: the host starts, and each listener goes on when storage answers."""
    calls = StorageCalls()
    observed = calls.around(account)
    await account.queue("q-work").create()
    await account.queue("q-work").put(base64.b64encode(b"waiting").decode())
    await account.container("c-work").create()
    await account.container("c-work").write("a.txt", b"x")
    calls.cut_off = True
    async with run_app(tmp_path, HTTP_APP, APP, clock=clock, around_account=lambda _: observed):
        await clock.sleep(40)
        assert list((tmp_path / "ran").iterdir()) == []
        calls.cut_off = False
        await _all_have_run(tmp_path / "ran", clock)


async def _all_have_run(folder: Path, clock: Clock) -> None:
    expected = {"queue waiting", "blob c-work a.txt", "timer"}
    # A listener that could not start is started again after up to two minutes.
    await eventually(lambda: {path.name for path in folder.iterdir()} == expected, "runs", clock=clock, within=180)


OPTIONS = [step["test"] for step in TRIGGERS.steps("options_out_of_range") if "=" in step["test"]]
SECTIONS = {"q": "extensions__queues", "b": "extensions__blobs", "s": "singleton"}
# azemu refuses at the start what fails at the first message there.
REFUSED_EARLIER = {"q__visibilityTimeout=-00:00:01", "q__visibilityTimeout=8.00:00:00"}


@pytest.mark.parametrize("option", OPTIONS)
async def test_a_host_refuses_options_outside_their_limits(tmp_path: Path, option: str) -> None:
    """As recorded in `options_out_of_range`."""
    steps = [step["test"] for step in TRIGGERS.steps("options_out_of_range")]
    outcome = next(step for step in steps[steps.index(option) :] if step in ("host 1 failed", "host 1 ready"))
    prefix, name, value = re.fullmatch(r"(.)__(\w+)=(.*)", option).groups()  # type: ignore[union-attr]
    app = write_app(tmp_path, HTTP_APP, settings={f"AzureFunctionsJobHost__{SECTIONS[prefix]}__{name}": value})
    refused = outcome == "host 1 failed" or option in REFUSED_EARLIER
    with pytest.raises(ConfigurationError, match=name) if refused else nullcontext():
        async with open_app(StartOptions(app=app, port=0, storage="builtin:memory")):
            pass
