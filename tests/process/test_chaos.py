"""`azemu start --chaos`: hosts that crash between storage calls and start again, and the report at the stop."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from emulator.chaos.activity_runs import ActivityCall, ActivityRuns
from emulator.clock import SystemClock
from emulator.config.start import StartOptions, configure
from emulator.process.chaos import reporting
from emulator.process.chaos_options import ChaosOptions
from emulator.storage.builtin import open_builtin
from tests.cli.test_bad_input import message_of
from tests.processes import get, get_json, run, started
from tests.running_apps import DURABLE_APP, write_app
from tests.waiting import eventually_sync

CHAIN = """
@app.orchestration_trigger(context_name="context")
def chain(context):
    number = 1
    for _ in range(3):
        number = yield context.call_activity("double", number)
    return number


@app.activity_trigger(input_name="number")
def double(number: int) -> int:
    return number * 2


@app.route(route="hello")
def hello(req: func.HttpRequest) -> str:
    return "hello"
"""
STORAGE_ACCOUNT = "DefaultEndpointsProtocol=https;AccountName=orders;AccountKey=a2V5;EndpointSuffix=core.windows.net"


def is_accepted(url: str, instance: str) -> bool:
    """Start an instance. False while the host is restarting."""
    try:
        return bool(get(f"{url}/runtime/webhooks/durabletask/orchestrators/chain/{instance}", method="POST"))
    except OSError:
        return False


def completed(url: str, instance: str) -> bool:
    """Whether the instance has ended; False also while the host is restarting."""
    try:
        return bool(get_json(f"{url}/runtime/webhooks/durabletask/instances/{instance}")["output"] == 8)
    except OSError:
        return False


@pytest.mark.soak
@pytest.mark.parametrize(("mode", "instances"), [((), 20), (("--no-reload",), 5)])
def test_every_instance_completes_and_a_stop_prints_the_report(
    tmp_path: Path, mode: tuple[str, ...], instances: int
) -> None:
    app = write_app(tmp_path / "app", DURABLE_APP, CHAIN)
    with started(app, "--storage", "builtin", "--chaos", "5", *mode) as azemu:
        url = azemu.url().removesuffix("/api/hello")
        assert "Chaos with seed 5: --chaos 5 repeats this plan of faults." in azemu.output
        for number in range(instances):
            eventually_sync(partial(is_accepted, url, f"i{number}"), "the start is accepted")
        for number in range(instances):
            eventually_sync(partial(completed, url, f"i{number}"), f"i{number} completes", within=120)
        azemu.interrupt()
        assert azemu.wait() == 0
    output = azemu.output
    report = output[output.rindex("Chaos with seed 5") :]
    found = re.match(r"Chaos with seed 5: (\d+) faults?\.\n", report)
    assert found is not None
    assert int(found[1]) == len(re.findall(r"^  \d+\. \w", report, re.MULTILINE)) > 0
    assert "All rules of the task hub hold." in report
    crashes = len(re.findall(r"Chaos: .*the host crashed", output))
    assert output.count("Restarting the host.") == crashes
    assert "ended unexpectedly" not in output
    if mode:
        assert crashes == 0


async def test_a_report_says_that_the_task_hub_could_not_be_checked(tmp_path: Path) -> None:
    # A folder where the store's file is expected.
    store = tmp_path / "store.db"
    store.mkdir()
    start = StartOptions(app=write_app(tmp_path / "app", DURABLE_APP, CHAIN), storage=f"builtin:{store}")
    options = ChaosOptions(seed=5, folder=tmp_path)
    lines: list[str] = []
    async with reporting(options, lambda: configure(start, {}), lines.append):
        runs = ActivityRuns(tmp_path / "activities.jsonl")
        for _ in range(2):
            runs.begins(ActivityCall("i1", "e1", 0, "double"))
    [report] = lines
    assert "The rules of the task hub could not be checked: " in report
    assert str(store) in report
    assert "All rules of the task hub hold." not in report
    assert '"double" (instance "i1", task 0) ran 2 times.' in report


async def test_a_report_says_what_a_broken_rule_means(tmp_path: Path) -> None:
    store, clock = tmp_path / "store.db", SystemClock()
    start = StartOptions(app=write_app(tmp_path / "app", DURABLE_APP, CHAIN), storage=f"builtin:{store}")
    async with open_builtin(store, clock) as account:
        await account.queue("testhubname-control-00").create()
        await account.queue("testhubname-control-00").put("hello")
    lines: list[str] = []
    async with reporting(ChaosOptions(seed=5, folder=tmp_path), lambda: configure(start, {}), lines.append):
        pass
    [report] = lines
    assert "\n  a message in queue testhubname-control-00 cannot be read: " in report
    assert report.endswith(
        "\nA broken rule is a mistake of azemu, unless the app or a test has changed the storage of the task hub "
        "itself. Please report it with the seed."
    )


def test_accounts_in_azure_and_storage_in_memory_are_refused(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app")
    words = ("start", "--port", "0", "--chaos", "--storage", "builtin")
    message = message_of(run(*words, cwd=app, env={"ORDERS": STORAGE_ACCOUNT}))
    assert message.startswith("--chaos: the setting 'ORDERS' names a storage account in Azure.")
    assert "ORDERS=UseDevelopmentStorage=true" in message
    message = message_of(run("start", "--port", "0", "--chaos", "17", "--storage", "builtin:memory", cwd=app))
    assert "in memory and would be lost when the host crashes. Use --storage builtin" in message


def test_a_seed_is_a_number(tmp_path: Path) -> None:
    done = run("start", "--chaos", "much", cwd=write_app(tmp_path / "app"))
    assert done.returncode == 2
    assert "--chaos: 'much' is not a seed. Use a number such as 17, or leave it out for a random one." in done.stderr
