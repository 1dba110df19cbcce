"""Recorded hosts of the .NET timer extension, replayed: the same storage gives the same changes, values and log lines.

A replay does the recorded steps at the recorded times in virtual time. Compared are, for each start of a host and for
each blob, the changes in their order; the value and the trigger metadata of each run; and the storage at the end. Lease
ids are compared by their order, times of runs with a tolerance (the recording machine was busy), and the times of
schedules exactly.

Not replayed, with the reason:

* `timer_bad_schedules`: needs no storage; test_schedules.py has its schedules. Zero and negative time spans are refused
  here, because they call the function without a pause (docs/compatibility.md).
* `timer_lock_lost`: the .NET process ends. The listener of azemu starts again: test_locks.py.
* `timer_two_hosts`, `timer_lock_file_lock`: azemu checks a held lock more often, so that runs are on other hosts:
  test_locks.py has the same steps.
* `host_primary_lock`: needs no function. test_locks.py compares its changes.

Trigger metadata are compared for first attempts only: .NET makes them again for each retry.

In `timer_schedule_changed`, .NET hands a time that was stored with `Z`, or without an offset, to the function in that
form. azemu hands all times over with the local offset; Python's datetime reads both.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from emulator.instant import Instant
from emulator.storage.port import LeaseState
from emulator.virtual_time import VirtualClock
from emulator.worker.port import Invocation
from tests.extensions.timers.replaying import CONTAINER, HOST_ID, RunningHost, Stage
from tests.recordings.triggers import TRIGGERS

# How much later than in the recording a run may begin, where it is not a moment.
TOLERANCES: Final = {
    # The start of the hosts took long.
    "timer_stop": 8,
    "timer_no_monitor": 8,
}
# Seconds. The recorded run that follows began late, when its function had already been told something else.
TOLD_EARLIER: Final = {"timer_long_run": 0.5}
SCENARIOS: Final = [
    "host_default_id",
    "timer_fails",
    "timer_far",
    "timer_long_run",
    "timer_minute",
    "timer_no_monitor",
    "timer_past_due",
    "timer_past_due_startup",
    "timer_retry_exponential",
    "timer_retry_fixed",
    "timer_schedule_changed",
    "timer_seconds",
    "timer_span",
    "timer_startup",
    "timer_stop",
    "timer_zone",
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_replay_changes_and_receives_what_was_recorded(
    scenario: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "emulator.extensions.timers")
    epoch = recorded_epoch(scenario)
    clock = VirtualClock(epoch - timedelta(seconds=5))
    with asyncio.Runner(loop_factory=clock.new_loop) as runner:
        hosts, blobs = runner.run(replay(scenario, Stage(tmp_path, clock), epoch))
    tolerance = TOLERANCES.get(scenario, 3)
    recorded = recorded_starts(scenario)
    assert len(hosts) == len(recorded)
    for number, (host, lines) in enumerate(zip(hosts, recorded, strict=True)):
        expected, found = recorded_changes(lines), changes_of(host)
        assert found.keys() == expected.keys(), f"blobs that start {number} has changed"
        for target, changes in expected.items():
            assert_equal(found[target], changes, tolerance, f"start {number}, {target}")
    expected_runs = [line for line in TRIGGERS.received(scenario) if line["event"] == "start"]
    received = [invocation for host in hosts for _, invocation in host.received]
    assert_equal(
        [json.loads(str(invocation.inputs["timer"].value)) for invocation in received if invocation.inputs["timer"]],
        [line["parameters"]["timer"]["json"] for line in expected_runs],
        tolerance,
        "values",
    )
    assert_equal(
        [[{name: datum.value for name, datum in i.trigger_metadata.items()}] for i in received if not is_retry(i)],
        [
            [{name: value["json"] for name, value in line["bindingData"].items()}]
            for line in expected_runs
            if not (line.get("retry") or {}).get("RetryCount")
        ],
        tolerance,
        "trigger metadata",
    )
    assert_equal(id_pattern([i.id for i in received]), id_pattern([r["invocation"] for r in expected_runs]), 0, "ids")
    assert_equal(blobs, recorded_blobs(scenario), tolerance, "storage at the end")
    assert announcements(caplog.text) == announcements(TRIGGERS.log(scenario))


# What was recorded -------------------------------------------------------------------------------------------------


def recorded_epoch(scenario: str) -> datetime:
    """Return the time of the recording's second 0.

    The recorder notes a request or a call a little after the host has read its clock, so the latest estimate is best.
    """
    estimates = []
    for line in TRIGGERS.requests(scenario):
        if line.get("op") == "put blob" and line.get("content") and "host" in line:
            updated = Instant.parse(json.loads(line["content"])["LastUpdated"]).datetime
            estimates.append(updated - timedelta(seconds=line["t"]))
    for line in TRIGGERS.received(scenario):
        if line["event"] == "start":
            moment = moment_of(line["bindingData"]["TimerTrigger"]["json"])
            estimates.append(moment - timedelta(seconds=line["t"]))
    # A local time without an offset may be hours away.
    return max(estimate for estimate in estimates if abs(estimate - estimates[0]) < timedelta(minutes=10))


def recorded_starts(scenario: str) -> list[list[dict[str, Any]]]:
    """Return the requests of each start of a host."""
    starts: list[list[dict[str, Any]]] = []
    for line in TRIGGERS.requests(scenario):
        if re.match(r"host \d started", line.get("test", "")):
            starts.append([])
        elif "host" in line:
            starts[-1].append(dict(line, blob=with_host_id(line["blob"])))
    return starts


def recorded_changes(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the changes by blob, without renewals of leases, whose number depends on the second."""
    changes: defaultdict[str, list[Any]] = defaultdict(list)
    leases: dict[str, int] = {}
    for line in lines:
        if line["op"] in ("properties", "get blob", "lease renew") or line["status"] >= 300:
            continue
        match line["op"]:
            case "create container":
                change: list[Any] = ["create container"]
            case "put blob":
                change = ["put blob", as_json(line["content"])]
            case "lease acquire":
                number = leases.setdefault(line["lease_given"], len(leases))
                change = ["lease acquire", number, int(line["duration"])]
            case operation:
                change = [operation, leases[line["lease"]]]
        changes[line["blob"]].append(change)
    return dict(changes)


def recorded_blobs(scenario: str) -> dict[str, Any]:
    found = TRIGGERS.storage(scenario)["blobs"].get(CONTAINER, {})
    return {with_host_id(name): as_json(blob.get("content", "")) for name, blob in found.items()}


def with_host_id(blob: str) -> str:
    """Replace the host id that a plain WebJobs host makes of its assembly (`host_default_id`)."""
    return re.sub(r"/[0-9a-f]{32}/", f"/{HOST_ID}/", blob)


# What azemu does ---------------------------------------------------------------------------------------------------


async def replay(scenario: str, stage: Stage, epoch: datetime) -> tuple[list[RunningHost], dict[str, Any]]:
    """Do the steps of a recording. Return the hosts in the order of their starts, and the blobs at the end."""
    clock, lines = stage.clock, TRIGGERS.requests(scenario)
    running: dict[int, RunningHost] = {}
    function = ""

    async def advance_to(seconds: float) -> None:
        span = epoch + timedelta(seconds=seconds) - clock.now()
        if span > timedelta(0):
            await clock.advance(span, upkeep=True)

    async with stage:
        for index, line in enumerate(lines):
            text = str(line.get("test", ""))
            words = text.split()
            if text.startswith("host") and words[-1] == "started":
                function = line["functions"]
                # Until it got its lock, the recorded host was starting, or waited for the lease of a killed host, for
                # which azemu looks more often.
                locked = next(
                    other for other in lines[index:] if other.get("op") == "lease acquire" and other["status"] < 300
                )
                await advance_to(locked["t"])
                stage.tells.clear()
                options = dict(option.split("=", 1) for option in line["options"] if "=" in option)
                settings = {**options, **line.get("env", {})}
                running[int(words[1])] = await stage.start(int(words[1]), function, settings)
            elif "shall now:" in text:
                await advance_to(line["t"] - TOLD_EARLIER.get(scenario, 0))
            elif text:
                await advance_to(line["t"])
            if text.endswith("SIGTERM"):
                running[int(words[1])].stop.set()
            elif text.endswith("SIGKILL"):
                running[int(words[1])].kill()
            elif text.startswith("host") and words[-1] == "ended":
                task = running[int(words[1])].task
                assert task is not None
                with clock.running(upkeep=True):
                    await task
            elif "shall now:" in text:
                stage.tells[words[0]] = words[-1]
            elif text == "status written by the test":
                async with stage.container() as container:
                    path = f"timers/{HOST_ID}/Host.Functions.{function}/status"
                    await container.write(path, line["content"].encode())
        async with stage.container() as container:
            found = {blob.name: blob.lease_state async for blob in container.list()}
            assert LeaseState.LEASED not in found.values()
            return stage.hosts, {name: as_json((await container.read(name)).decode()) for name in found}


def changes_of(host: RunningHost) -> dict[str, list[Any]]:
    changes: defaultdict[str, list[Any]] = defaultdict(list)
    leases: dict[str, int] = {}
    for made in host.calls.changes:
        if made.operation == "lease renew":
            continue
        match made.operation:
            case "put blob":
                change = ["put blob", as_json(made.arguments["content"].decode())]
            case "lease acquire":
                number = leases.setdefault(made.arguments["lease_id"], len(leases))
                change = ["lease acquire", number, int(made.arguments["duration"].total_seconds())]
            case "create container":
                change = ["create container"]
            case operation:
                change = [operation, leases[made.arguments["lease_id"]]]
        changes[made.target].append(change)
    return dict(changes)


def is_retry(invocation: Invocation) -> bool:
    return invocation.retry is not None and invocation.retry.retry_count > 0


# Comparison --------------------------------------------------------------------------------------------------------


def as_json(text: str | None) -> Any:
    try:
        return json.loads(text or "")
    except ValueError:
        return text or ""


def id_pattern(ids: Sequence[str]) -> list[int]:
    """Replace each id by its position, so that equal ids stay equal."""
    return [ids.index(identifier) for identifier in ids]


def announcements(log: str) -> list[str]:
    """Return the lines about schedules, zones and occurrences. Those of time spans depend on the second."""
    schedule = r"The '\w+' timer is using the schedule .*"
    upcoming = r"The next 5 occurrences of the '\w+' schedule \(Cron[^\n]*\n(?:\s*\d\d/.*\n?){5}"
    found = re.findall(f"{schedule}|{upcoming}", log)
    # Time spans have seven digits in .NET and six here.
    return [re.sub(r"(\.\d{6})\d", r"\1", re.sub(r"\n\s*", "\n", text)).strip() for text in found]


_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+|\d\d/\d\d/\d{4} [\d:]+")


def assert_equal(found: Any, expected: Any, tolerance: float, where: str) -> None:
    """Compare JSON. `Last`, `LastUpdated` and trigger metadata may differ by `tolerance` seconds, `Next` may not.

    The next time of a time span is compared by its distance from the last one.
    """
    if isinstance(expected, dict) and isinstance(found, dict):
        assert list(found) == list(expected), where
        if "Next" in expected and expected["Next"] and "." in expected["Next"] and "9999" not in expected["Next"]:
            for members in (found, expected):
                basis = members["Last"] if not members["Last"].startswith("0001") else members["LastUpdated"]
                if not basis.startswith("0001"):
                    members["Next"] = str(Instant.parse(members["Next"]) - Instant.parse(basis))
        for name, value in expected.items():
            exact = name == "Next" and "." not in str(value)
            assert_equal(found[name], value, 0 if exact else tolerance, f"{where}: {name}")
    elif isinstance(expected, list) and isinstance(found, list):
        assert len(found) == len(expected), f"{where}: {found} instead of {expected}"
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_equal(one, other, tolerance, f"{where}[{number}]")
    elif isinstance(expected, str) and tolerance and _TIME.match(expected) and _TIME.match(str(found)):
        assert abs((moment_of(found) - moment_of(expected)).total_seconds()) <= tolerance, f"{where}: {found}"
        # The zone is the same.
        assert found[-6:] == expected[-6:] or "/" in expected or expected[-1] == "Z" or expected[-6] not in "+-", where
    else:
        assert found == expected, where


def moment_of(text: str) -> datetime:
    if "/" in text:
        return datetime.strptime(text, "%m/%d/%Y %H:%M:%S").replace(tzinfo=UTC)
    return datetime.min.replace(tzinfo=UTC) if text.startswith("0001") else Instant.parse(text).datetime
