"""Commands `azemu history …`: export, import, fork and replay of histories, and tests that are made of a run."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from emulator import bound_json as json
from emulator import exit_codes
from emulator.cli.data_arguments import json_body
from emulator.cli.durable_access import RequestRefused
from emulator.cli.durable_choice import HubChoice
from emulator.cli.history_access import Histories, open_histories
from emulator.cli.history_arguments import ExportHistory, ForkHistory, ImportHistory, MakeTests, ReplayHistory
from emulator.cli.printing import Table, one_line, print_json, waiting
from emulator.config.settings import find_project_root
from emulator.errors import ConfigurationError
from emulator.histories.generated_tests import generated_tests
from emulator.histories.report import replay_report
from emulator.process.main_thread import exit_after

_SHOWN_NAMES: Final = 100
_TEST_SECONDS: Final = 300
# Time for threads that the app has started when it was imported. None of them is needed any more.
_THREADS_END_SECONDS: Final = 0.5


def run_export(command: ExportHistory) -> int:
    """Write the history file. Return the exit code. Raises RequestRefused, TransferRefused, ConfigurationError."""
    document = _with_histories(command.where, lambda histories: histories.export(command.instance_id))
    if command.output is None:
        print_json(document)
        return exit_codes.OK
    # The user has named this file. Files that `azemu history pytest` names itself are never replaced.
    _write(command.output, _text_of(document), replaces=True)
    instances = document["instances"]
    if command.json:
        ids = [instance["instanceId"] for instance in instances]
        print_json({"file": str(command.output), "instanceIds": ids})
    else:
        events = sum(len(instance["history"]) for instance in instances)
        count = "1 instance" if len(instances) == 1 else f"{len(instances)} instances"
        sys.stderr.write(f"Wrote {events} events of {count} to {command.output}.\n")
    return exit_codes.OK


def run_import(command: ImportHistory) -> int:
    """Create the instances of a file. Return the exit code."""
    content = _read_json(command.file)

    created = _with_histories(
        command.where, lambda histories: histories.import_file(content, command.instance_id, force=command.force)
    )
    if command.json:
        print_json(created)
        return exit_codes.OK
    for instance in created["instances"]:
        what = "continues" if instance["continues"] else "has ended"
        sys.stderr.write(f"Created {one_line(instance['instanceId'])} ({instance['name']}), which {what}.\n")
    # Alone on the standard output, for scripts; here and after a fork.
    sys.stdout.write(f"{created['instanceId']}\n")
    return exit_codes.OK


def run_fork(command: ForkHistory) -> int:
    """Fork an instance, or list the places for a fork. Return the exit code."""
    # Without an event nothing is forked: users have to see the places first.
    if command.at is None:
        return _list_places(command)
    members: dict[str, Any] = {"at": command.at, "rerun": command.reruns, "withEvents": command.with_events}
    members |= {"id": command.new_id, "force": command.force}
    if command.input is not None:
        members["input"] = json.loads(json_body(command.input, subject="--input: the data"))
    if command.event_input is not None:
        members["eventInput"] = json.loads(json_body(command.event_input, subject="--event-input: the data"))

    done = _with_histories(command.where, lambda histories: histories.fork(command.instance_id, members))
    if command.json:
        print_json(done)
        return exit_codes.OK
    kept = f"{done['reusedEvents']} events are used again" if done["reusedEvents"] else "It begins from the start"
    notes = [f"Forked {one_line(done['source'])} at event {done['cut']}. {kept}."]
    if done["rerun"]:
        notes.append(f"Runs again, although it was open at the cut: {_names(done['rerun'])}.")
    if done["eventsLeftOut"]:
        notes.append(
            f"Events that came later, and are not raised again: {_names(done['eventsLeftOut'])} (--with-events)."
        )
    if done["fixedChildren"]:
        notes.append(
            "The code gives these sub-orchestrations fixed ids, so the fork replaces those of the old instance if it "
            f"starts them again: {_names(done['fixedChildren'])}."
        )
    sys.stderr.write("".join(f"{one_line(note)}\n" for note in notes))
    sys.stdout.write(f"{done['instanceId']}\n")
    return exit_codes.OK


def _with_histories(where: HubChoice, work: Callable[[Histories], Awaitable[Any]]) -> Any:
    """Return the result of work with the histories of a task hub. Raises what `open_histories` and the work raise."""

    async def run() -> Any:
        async with open_histories(where) as histories:
            return await work(histories)

    return asyncio.run(run())


def _list_places(command: ForkHistory) -> int:
    found = _with_histories(command.where, lambda histories: histories.places(command.instance_id))
    if command.json:
        print_json(found)
        return exit_codes.OK
    rows = [
        (
            str(place["at"]),
            # Milliseconds, of the seven digits that are stored.
            place["time"][:23].rstrip("Z"),
            ", ".join(
                f"{event['at']} {event['type']}" + (f" {event['name']}" if event["name"] else "")
                for event in place["received"]
            ),
        )
        for place in found["places"]
    ]
    Table("EVENT", "EPISODE", "RECEIVED EVENTS, ALSO POSSIBLE").print(rows)
    return exit_codes.OK


def _names(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN_NAMES])
    return shown if len(names) <= _SHOWN_NAMES else f"{shown} and {len(names) - _SHOWN_NAMES} more"


# Replay, tests -------------------------------------------------------------------------------------------------


def run_replay(command: ReplayHistory) -> int:
    """Replay a history with the code of the app. Return 1 if they differ."""
    root = find_project_root(command.where.app)
    # A file comes first: instance ids rarely are names of files.
    file = Path(command.source)
    recorded = file if file.is_file() else _exported(command)
    threads = set(threading.enumerate())
    with waiting("Replaying the history"):
        report = replay_report(root, recorded)
    if command.json:
        print_json(report)
    else:
        for divergence in report["divergences"]:
            sys.stdout.write(f"{divergence['text']}\n")
        if not report["divergences"]:
            sys.stdout.write(f"The code follows the history: {report['episodes']} episodes agree.\n")
    return _ended(exit_codes.FAILED if report["divergences"] else exit_codes.OK, threads)


def _ended(code: int, threads: set[threading.Thread]) -> int:
    """Return the exit code; end the process if the app has started threads, which would keep it running."""
    if any(not thread.daemon for thread in set(threading.enumerate()) - threads):
        sys.stdout.flush()
        exit_after(_THREADS_END_SECONDS, code)
    return code


def _exported(command: ReplayHistory | MakeTests) -> Any:
    return _with_histories(command.where, lambda histories: histories.export(command.source))


def run_pytest(command: MakeTests) -> int:
    """Write the tests and run them once, if pytest is installed. Return 1 if they fail."""
    root = find_project_root(command.where.app).resolve()
    file = Path(command.source)
    document = _read_json(file) if file.is_file() else _exported(command)
    target = command.output.resolve() if command.output else None
    folder = target.parent if target else root / "tests"
    if not folder.is_relative_to(root) or folder == root:
        raise RequestRefused(
            f"-o: the tests must be in a folder of the app, such as {root / 'tests'}, not in {folder}."
        )
    levels = len(folder.relative_to(root).parts)
    name = target.stem.removeprefix("test_") if target else None
    tests = generated_tests(document, name=name, levels_to_app=levels)
    test, history = target or folder / tests.test_name, folder / tests.history_name
    # Both, before anything is written.
    for path in (test, history):
        if path.exists():
            raise RequestRefused(f"{path} exists already, and is left as it is. Choose another file with -o.")
    threads = set(threading.enumerate())
    # A test that fails from the beginning would be taken for a defect of the app.
    with waiting("Replaying the history"):
        report = replay_report(root, document)
    if report["divergences"]:
        raise RequestRefused(
            f"No test was written, because the present code does not follow the history.\n"
            f"{report['divergences'][0]['text']}"
        )
    # The history first, because a test without it fails in every run of the suite.
    _write(history, _text_of(document), replaces=False)
    _write(test, tests.test, replaces=False)
    # Run at once, because a history may need activities or settings that the test does not have.
    with waiting("Running the new tests"):
        passed, output = _run_tests(test, root)
    created = [str(path.relative_to(root)) for path in (test, history)]
    if command.json:
        print_json({"created": created, "omitted": tests.omitted, "passed": passed})
    else:
        sys.stdout.write("".join(f"{path}\n" for path in created))
        if tests.omitted:
            sys.stderr.write(f"There is only a replay test: {tests.omitted}.\n")
        if passed is None:
            sys.stderr.write("pytest is not installed beside azemu, so the tests were not run.\n")
        elif passed:
            sys.stderr.write("The tests pass.\n")
    if passed is False:
        sys.stderr.write(f"{output}\nThe tests were written, but do not pass yet; see above.\n")
    return _ended(exit_codes.FAILED if passed is False else exit_codes.OK, threads)


def _run_tests(test: Path, root: Path) -> tuple[bool | None, str]:
    if find_spec("pytest") is None:
        return None, ""
    # Without pytest's cache, whose folder would stay in the app.
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    try:
        done = subprocess.run(
            words, cwd=root, capture_output=True, text=True, errors="replace", timeout=_TEST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"They have not ended after {_TEST_SECONDS} seconds."
    return done.returncode == 0, done.stdout + done.stderr


# Files and data ------------------------------------------------------------------------------------------------


def _text_of(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _write(path: Path, text: str, *, replaces: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # "x" refuses a file that was created after the check.
        with path.open("w" if replaces else "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from None


def _read_json(path: Path) -> Any:
    try:
        # utf-8-sig, because editors and shells of Windows write a byte order mark.
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from None
