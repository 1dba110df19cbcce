"""`azemu durable` with and without a running host."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from emulator.cli.command import main
from tests.processes import started
from tests.running_apps import DURABLE_APP, write_app
from tests.waiting import PATIENCE_SECONDS

APP = """
@app.orchestration_trigger(context_name="context")
def greet(context: df.DurableOrchestrationContext):
    return f"Hello {context.get_input()}"

@app.orchestration_trigger(context_name="context")
def approve(context: df.DurableOrchestrationContext):
    context.set_custom_status("waiting")
    answer = yield context.wait_for_external_event("approval")
    return answer

@app.orchestration_trigger(context_name="context")
def fail(context: df.DurableOrchestrationContext):
    raise ValueError("no stock")

@app.orchestration_trigger(context_name="context")
def pay(context: df.DurableOrchestrationContext):
    yield context.call_activity("charge", 5)

@app.orchestration_trigger(context_name="context")
def order(context: df.DurableOrchestrationContext):
    yield context.call_sub_orchestrator("pay")

@app.orchestration_trigger(context_name="context")
def count(context: df.DurableOrchestrationContext):
    return (yield context.call_entity(df.EntityId("counter", "one"), "add", context.get_input()))

@app.activity_trigger(input_name="amount")
def charge(amount: int):
    raise ValueError("card declined")

@app.entity_trigger(context_name="context")
def counter(context: df.DurableEntityContext):
    context.set_state(context.get_state(lambda: 0) + int(context.get_input()))
    context.set_result(context.get_state())
"""


@dataclass(frozen=True)
class Done:
    """What a command has printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        content = json.loads(self.out)
        assert content.pop("version") == 1
        return content


@dataclass(frozen=True)
class Commands:
    """The commands for one app, which run in this process."""

    app: Path
    capsys: pytest.CaptureFixture[str] | None = None

    def __call__(self, *words: str) -> Done:
        assert self.capsys is not None
        self.capsys.readouterr()
        code = main(["durable", *words, "--app", str(self.app)])
        return Done(code, *self.capsys.readouterr())


@pytest.fixture
def durable(served: Commands, capsys: pytest.CaptureFixture[str]) -> Commands:
    return replace(served, capsys=capsys)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """One host for all tests of this module, with keys."""
    folder = tmp_path_factory.mktemp("app")
    app = write_app(folder, DURABLE_APP, APP, settings={"AzureWebJobsStorage": f"builtin:{folder / 'store.db'}"})
    with started(app, "--enable-auth", "--no-reload") as host:
        host.wait_for("approve: ")
        host.wait_for("For detailed output")
        yield Commands(app)


def test_an_orchestration_is_started_and_shown(durable: Commands) -> None:
    done = durable("start", "greet", "Ada", "--id", "hello-1", "--wait")
    assert (done.code, done.out, done.err) == (0, "Hello Ada\n", "")
    shown = durable("show", "hello-1", "--history")
    assert shown.code == 0
    for pattern in (r"^instance id: +hello-1$", r"^status: +Completed$", r"^input: +Ada$", r"^output: +Hello Ada$"):
        assert re.search(pattern, shown.out, re.MULTILINE)
    assert re.search(r"^[\dT:.-]+ +ExecutionStarted +greet +input: Ada$", shown.out, re.MULTILINE)
    instance = durable("show", "hello-1", "--json").json["instance"]
    assert (instance["runtimeStatus"], instance["output"]) == ("Completed", "Hello Ada")
    # An id of ASCII letters only would not show how it is encoded.
    done = durable("start", "greet", '{"a b": [1]}', "--id", "a%2B+ü", "--wait", "--json")
    assert done.json["instance"]["output"] == "Hello {'a b': [1]}"
    assert durable("show", "a%2B+ü", "--json").json["instance"]["instanceId"] == "a%2B+ü"


def test_instances_are_controlled(durable: Commands) -> None:
    assert durable("start", "approve", "--id", "order-1").out == "order-1\n"
    assert durable("start", "approve", "--id", "order-2").code == 0
    assert durable("suspend", "order-1", "order-2", "--reason", "night").err == "Sent 'suspend' to order-1, order-2.\n"
    wait_for(durable, "order-1", "Suspended")
    wait_for(durable, "order-2", "Suspended")
    refused = durable("suspend", "order-1")
    assert refused.code == 1
    assert (
        "Cannot suspend the orchestration instance order-1 because instance is in the Suspended state." in refused.err
    )
    assert durable("resume", "order-1", "--json").json == {"operation": "resume", "instanceIds": ["order-1"]}
    assert durable("raise", "order-1", "approval", '{"by": "Eve"}').err == "Sent the event 'approval' to order-1.\n"
    wait_for(durable, "order-1", "Completed")
    assert durable("show", "order-1", "--json").json["instance"]["output"] == {"by": "Eve"}
    assert durable("terminate", "--id", "order-2", "--reason", "enough").code == 0
    wait_for(durable, "order-2", "Terminated")
    ended = durable("raise", "order-2", "approval")
    assert (ended.code, ended.err) == (1, "Instance 'order-2' has ended. `azemu durable show order-2` shows how.\n")
    assert 'only orchestrations in the "Failed" state can be rewound' in durable("rewind", "order-1").err
    [new_id] = durable("restart", "order-2").out.split()
    assert new_id != "order-2"
    wait_for(durable, new_id, "Running")
    assert durable("terminate", new_id).code == 0


def test_ids_may_be_dots(durable: Commands) -> None:
    for instance_id in (".", ".."):
        assert durable("start", "greet", "Ada", "--id", instance_id, "--wait").out == "Hello Ada\n"
        assert durable("show", instance_id, "--json").json["instance"]["instanceId"] == instance_id
        # In its URL the id is not encoded twice.
        assert main(["why", instance_id, "--app", str(durable.app)]) == 1
        assert durable("purge", instance_id, "--yes").code == 0


def test_bytes_that_are_not_utf_8_are_reported(durable: Commands) -> None:
    for words in (["show", "a\udcff"], ["list", "--prefix", "a\udcff"], ["raise", "x", "a\udcff"]):
        assert durable(*words).err == "The argument 'a\\udcff' is not text in UTF-8.\n"


def test_json_is_whole_in_any_encoding(durable: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    assert durable("start", "greet", "Zoë", "--id", "ümlaut", "--wait").code == 0
    output = io.BytesIO()
    stream = io.TextIOWrapper(output, encoding="ascii", write_through=True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        assert main(["durable", "show", "ümlaut", "--json", "--app", str(durable.app)]) == 0
    assert json.loads(output.getvalue())["instance"]["output"] == "Hello Zoë"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_reported(durable: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, open("/dev/full", "w") as full:
        patch.setattr(sys, "stdout", full)
        assert main(["durable", "list", "--app", str(durable.app)]) == 1
    assert durable.capsys is not None
    assert durable.capsys.readouterr().err == "A file or the output cannot be written: No space left on device.\n"


def wait_for(durable: Commands, instance_id: str, status: str) -> None:
    until(lambda: durable("show", instance_id, "--json").json["instance"]["runtimeStatus"] == status)


def until(condition: Callable[[], bool]) -> None:
    """Repeat a command until its result is as expected. Commands have an event loop of their own."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end


def test_the_failure_of_an_awaited_orchestration_is_the_exit_code(durable: Commands) -> None:
    done = durable("start", "fail", "--id", "failed-1", "--wait")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Instance 'failed-1' has ended with the status Failed. ")
    assert "no stock" in done.err
    failed = durable("start", "order", "--id", "failed-2", "--wait")
    for shown in (failed.err, durable("show", "failed-2").out, durable("show", "failed-2", "--history").out):
        assert "Activity function 'charge' failed: ValueError: card declined" in shown
        assert 'raise ValueError("card declined")' in shown
        # The exceptions of .NET in JSON are only for programs.
        assert "$type" not in shown
    assert '{"$type":"System.Exception' in durable("show", "failed-2", "--json").json["instance"]["output"]
    waiting = durable("start", "approve", "--id", "slow-1", "--timeout", "0")
    assert waiting.code == 1
    assert "after 0 seconds. It continues; `azemu durable show slow-1` shows it." in waiting.err
    assert durable("terminate", "slow-1").code == 0


def test_lists_are_filtered_and_read_page_by_page(durable: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.cli.durable_lists._PAGE", 2)
    for number in range(5):
        assert durable("start", "greet", "x", "--id", f"page-{number}", "--wait").code == 0
    assert durable("signal", "counter@page", "add", "1").code == 0

    def ids(*words: str) -> list[str]:
        return [item["instanceId"] for item in durable("list", "--prefix", "page-", *words, "--json").json["instances"]]

    assert ids() == [f"page-{number}" for number in range(5)]
    assert ids("--top", "3") == ["page-0", "page-1", "page-2"]
    assert durable("list", "--prefix", "page-", "--top", "5", "--json").json["hasMore"] is False
    assert ids("--status", "running", "Completed", "--since", "1h", "--name", "GREET") == ids()
    assert ids("--status", "Failed") == ids("--name", "other") == ids("--until", "1h") == []
    some = durable("list", "--prefix", "page-", "--top", "2")
    lines = some.out.splitlines()
    assert lines[0].split() == ["INSTANCE", "ID", "NAME", "STATUS", "CREATED", "LAST", "UPDATED"]
    assert lines[1].split()[:3] == ["page-0", "greet", "Completed"]
    assert len(lines) == 3
    assert some.err == "There are more than 2. Show more with --top N, or all with --top 0.\n"
    assert durable("list", "--prefix", "none").err == "No instance matches.\n"
    # Entities are stored as instances, but are listed by a command of their own.
    assert "@counter" not in durable("list", "--top", "0").out


class Terminal(io.StringIO):
    """Standard input at which a user types."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_is_asked_before_instances_are_purged(durable: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    assert durable("start", "greet", "x", "--id", "asked-1", "--wait").code == 0
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    refused = durable("purge", "asked-1")
    assert refused.code == 1
    assert re.fullmatch(r"Delete 1 instance of the host at port \d+\? \[y/N\] Nothing was deleted\.\n", refused.err)
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert durable("purge", "--prefix", "asked-").err.endswith("[y/N] Deleted 1 instance.\n")


def test_instances_that_have_ended_are_purged(durable: Commands) -> None:
    for name in ("purge-1", "purge-2", "purge-3"):
        assert durable("start", "greet", "x", "--id", name, "--wait").code == 0
    assert durable("start", "approve", "--id", "purge-4").code == 0
    wait_for(durable, "purge-4", "Running")
    assert durable("purge", "purge-1").err == "Deleted 1 instance.\n"
    assert durable("purge", "--prefix", "purge-", "--json").json == {"instancesDeleted": 2}
    refused = durable("purge", "purge-4")
    assert refused.code == 1
    assert "Only orchestrations in a terminal state can be purged" in refused.err
    assert durable("purge", "purge-1").code == 1
    assert durable("terminate", "purge-4").code == 0


def test_entities_are_signalled_and_listed(durable: Commands) -> None:
    assert durable("signal", "counter@visits", "add", "2").err == "Sent 'add' to counter@visits.\n"

    def states() -> dict[str, object]:
        listed = durable("entities", "--name", "Counter", "--json").json["entities"]
        return {item["entityId"]["key"]: item["state"] for item in listed}

    until(lambda: "visits" in states())
    assert states()["visits"] == 2
    assert re.search(r"^counter@visits +[\dT:-]+Z +2$", durable("entities").out, re.MULTILINE)
    assert "is not an entity" in durable("signal", "counter", "add").err


def test_the_words_of_core_tools_are_understood(durable: Commands) -> None:
    started = durable("start-new", "--function-name", "greet", "--input", '"Core"', "--id", "core-1")
    assert (started.code, started.out) == (0, "core-1\n")
    wait_for(durable, "core-1", "Completed")
    for words, part in (
        (("get-runtime-status", "--id", "core-1", "--show-input", "true"), "Hello Core"),
        (("get-history", "--id", "core-1"), "ExecutionStarted"),
        (("get-instances", "--created-after", "2020-01-01", "--runtime-status", "completed pending"), "core-1"),
    ):
        done = durable(*words)
        assert (done.code, done.err) == (0, "")
        assert part in done.out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("start", "gret"), 1, "The function 'gret' doesn't exist, is disabled, or is not an orchestrator function."),
        (("start", "greet", '{"a": '), 1, "The data is not JSON: "),
        (("start", "greet", "@missing.json"), 1, "The file 'missing.json' cannot be read"),
        (("show", "nothing"), 1, "There is no instance 'nothing'. `azemu durable list` shows the instances."),
        (("terminate", "nothing"), 1, "There is no instance 'nothing'."),
        (("raise", "nothing", "e"), 1, "There is no instance 'nothing'."),
        (("restart", "nothing"), 1, "No instance with ID 'nothing' was found."),
        (("list", "--connection", "Nowhere"), 1, "Unable to resolve the Azure Storage connection named 'Nowhere'."),
        (("list", "--status", "Done"), 2, "--status: 'Done' is not a status. Use Pending, Running"),
        (("list", "--since", "yesterday"), 2, "--since: 'yesterday' is not a time. Use a time such as"),
        (("list", "--top", "-1"), 2, "--top: '-1' is not a whole number from 0 to"),
        (("list", "--port", "1", "--storage", "builtin"), 2, "--port asks a host, and --storage none."),
        (("purge",), 2, "name the instances, choose them with a filter"),
        (("purge", "a", "--all"), 2, "either by their ids or by a filter"),
        (("raise", "a"), 2, "the following arguments are required: EVENT"),
        (("raise", "a", "b", "c", "d"), 2, "unknown argument 'd'"),
    ],
)
def test_what_does_not_work_is_explained(durable: Commands, words: tuple[str, ...], code: int, message: str) -> None:
    done = durable(*words)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_a_hub_is_read_and_deleted_without_a_host(
    durable: Commands, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert durable("start", "greet", "Ada", "--id", "old-1", "--wait").out == "Hello Ada\n"
    refused = durable("delete-hub", "--yes")
    assert refused.code == 1
    assert refused.err.startswith("The host of this app runs at port ")
    # Also with another app's folder: the leases in the hub name the host.
    other = Commands(write_app(tmp_path / "other", DURABLE_APP, APP), capsys)
    used = ("--storage", f"builtin:{durable.app / 'store.db'}")
    refused = other("delete-hub", "--yes", *used)
    assert refused.code == 1
    assert "is used by the running host" in refused.err
    assert other("show", "old-1", "--json", *used).json["instance"]["output"] == "Hello Ada"

    own = ("--storage", f"builtin:{tmp_path / 'store.db'}")
    none = other("list", *own)
    assert (none.code, none.err.split(" at ")[0]) == (1, "There is no built-in store")
    assert not (tmp_path / "store.db").exists()
    # The next host runs it.
    assert other("start", "greet", "Bob", "--id", "new-1", *own).out == "new-1\n"
    listed = other("list", "--json", *own)
    assert [(item["instanceId"], item["runtimeStatus"]) for item in listed.json["instances"]] == [("new-1", "Pending")]
    assert listed.err.startswith('Using the task hub "')
    terminated = other("terminate", "new-1", *own)
    assert terminated.err.endswith("\nSent 'terminate' to new-1. It takes effect when a host of this task hub runs.\n")
    unconfirmed = other("delete-hub", *own)
    assert unconfirmed.code == 1
    assert "Confirm it with --yes." in unconfirmed.err
    assert other("delete-hub", "--yes", *own).code == 0
    assert "There is no task hub" in other("list", *own).err
    settings = {"IsEncrypted": False, "Values": {"AzureWebJobsStorage": own[1]}}
    (other.app / "local.settings.json").write_text(json.dumps(settings))
    assert other("start", "greet", "Eve", "--id", "new-2").err.startswith("No host of this app is running. Using the ")
    assert other("list", "--hub", "Other").err.endswith("for another storage --storage STORAGE.\n")


def test_commands_answer_while_the_app_cannot_be_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A syntax error during development does not hide the instances that wait for its repair."""
    app = write_app(tmp_path, DURABLE_APP, APP)
    commands = Commands(app, capsys)
    with started(app, "--storage", "builtin", "--port", "0") as host:
        host.wait_for("For detailed output")
        assert commands("start", "approve", "--id", "order-1").code == 0
        wait_for(commands, "order-1", "Running")
        (app / "function_app.py").write_text("def (:\n")
        host.wait_for("The host runs without functions, because the app cannot be loaded")
        listed = commands("list")
        assert (listed.code, "order-1" in listed.out) == (0, True)
        assert "could not load the app, so no function runs until it is repaired" in listed.err
        shown = commands("show", "order-1", "--json")
        assert shown.json["instance"]["customStatus"] == "waiting"
        assert commands("raise", "order-1", "approval", '"yes"').code == 0
        assert main(["why", "order-1", "--app", str(app)]) == 0
        assert "could not be loaded" in capsys.readouterr().out
        assert main(["logs", "--app", str(app)]) == 0
        assert "SyntaxError" in capsys.readouterr().out
        assert main(["invoke", "greet", "--app", str(app)]) == 1
        assert "could not load the app" in capsys.readouterr().err
        write_app(tmp_path, DURABLE_APP, APP)
        wait_for(commands, "order-1", "Completed")


def test_history_shows_calls_of_entities_as_what_they_say(durable: Commands) -> None:
    assert durable("start", "count", "4", "--id", "counting", "--wait").code == 0
    rows = durable("show", "counting", "--history").out
    assert re.search(r"EventSent +add +input: 4, instance: @counter@one$", rows, re.MULTILINE)
    assert re.search(r"EventRaised +add +result: 4$", rows, re.MULTILINE)
    assert "$type" not in rows
    assert main(["history", "fork", "counting", "--app", str(durable.app)]) == 0
    assert durable.capsys is not None
    assert re.search(r"EventRaised add @counter@one$", durable.capsys.readouterr().out, re.MULTILINE)


def test_mistakes_in_arguments_are_answered_with_what_is_possible(durable: Commands) -> None:
    for_signal = durable("signal", "counter", "one", "add", "3").err
    assert "unknown argument '3'. The command takes these" in for_signal
    assert "ENTITY@KEY" in for_signal
    no_json = durable("start", "greet", "{name: 3}")
    assert (no_json.code, no_json.out) == (1, "")
    assert "Names and texts need double quotes" in no_json.err
