"""The commands of the documentation: each is run and prints what the page shows, or there is a reason why not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path

import pytest

from emulator.cli.command import main
from emulator.cli.commands import Command, find_command
from emulator.cli.parsing import parser_of
from emulator.testing import Answer, SyncAppUnderTest, start_sync
from tests.dashboard.conftest import APP as FLOW
from tests.doc_sessions import Placeholders, Step, curl_of, session_of, unknown_packages
from tests.running_apps import DURABLE_APP, HELLO, write_app

ROOT = Path(__file__).parents[1]
PAGES = [
    page
    for page in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted(ROOT.glob("samples/*/README.md")),
    )
    if session_of(page)
]

# Beginnings of commands that are not run here, each with the reason.
NOT_RUN = {
    "python -m venv": "tests/test_quickstart.py does",
    ". .venv/bin/activate": "tests/test_quickstart.py does",
    "python -m pytest": "tests/test_quickstart.py does, and tests/scaffolding runs the tests of all templates",
    "pytest --azemu-chaos": "tests/samples/test_payments.py runs it",
    "make": "test_docs.py checks that the targets exist",
    ".venv/bin/python -m pytest": "this test would run in itself; the paths are checked",
    "git clone": "needs the address of the repository",
    "docker": "needs Docker",
    "azemu shim": "writes into the environment of the tests; tests/scaffolding/test_shim.py runs it in another one",
    "azemu storage copy --from azurite": "needs Azurite; tests/storage/transfer copies from it",
    "azemu storage export hub.jsonl --hub MyTaskHub --from": "needs an account in Azure",
    "azemu storage export tests/histories/orders.jsonl --hub OrderProcessing --from": "needs an account in Azure",
    "curl -si -X DELETE localhost:7071/api/teams": "needs Azurite; see tests/samples/test_table_crud.py",
    "curl -sN localhost:7071/api/export": "needs a shell; tests/samples/test_web_frameworks.py sends these requests",
    "curl -s localhost:7071/api/export": "needs a shell; tests/samples/test_web_frameworks.py sends these requests",
}
# The app of docs/why.md, whose examples show these lines.
WAITING = """





@app.orchestration_trigger(context_name="context")
def order(context):
    return (yield context.wait_for_external_event("approval"))


@app.orchestration_trigger(context_name="context")
def trip(context):
    return (yield context.call_sub_orchestrator("payment", None, "pay-3"))


@app.orchestration_trigger(context_name="context")
def payment(context):
    return (yield context.wait_for_external_event("paid"))
"""
# The app of docs/history.md, and with a mistake that of docs/check.md.
APPROVED = """
import time

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def order(context: df.DurableOrchestrationContext):
    price = yield context.call_activity("price", context.get_input())
    paid = {"price": price, "approved": (yield context.wait_for_external_event("approve"))}
    return paid


@app.activity_trigger(input_name="order")
def price(order: dict) -> float:
    return 12.5


@app.route(route="orders")
@app.durable_client_input(client_name="client")
async def place(req: func.HttpRequest, client: df.DurableOrchestrationClient):
    return client.create_check_status_response(req, await client.start_new("order"))
"""
BUNDLE = {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"}
# Samples that need a server at a fixed port. Their own tests start it at another one.
OTHER_SERVERS = {"retries-and-compensation", "retry-policies"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_prints_what_the_page_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if page.parent.name in OTHER_SERVERS:
        pytest.skip("needs a server at a fixed port; tests/samples starts it at another one")
    folder = tmp_path / page.parent.name
    if page.parent.parent == ROOT / "samples":
        shutil.copytree(page.parent, folder)
    else:
        folder.mkdir()
    monkeypatch.chdir(folder)
    with ExitStack() as stack:
        reader = Reader(stack, monkeypatch, capsys)
        if (arrange := ARRANGED.get(page.relative_to(ROOT).as_posix())) is not None:
            arrange(reader)
        for step in session_of(page):
            reader.run(step)


def test_reasons_are_for_commands_that_a_page_has() -> None:
    lines = [step.line for page in PAGES for step in session_of(page)]
    assert [start for start in NOT_RUN if not any(line.startswith(start) for line in lines)] == []


class Reader:
    """Somebody who enters the commands of a page one after the other."""

    def __init__(self, stack: ExitStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._stack = stack
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._app: SyncAppUnderTest | None = None
        self._placeholders = Placeholders()

    @property
    def app(self) -> SyncAppUnderTest:
        assert self._app is not None, "the page must start the app first"
        return self._app

    @property
    def _port(self) -> str:
        return self.app.url.rpartition(":")[2]

    def set(self, variable: str, value: str) -> None:
        self._monkeypatch.setenv(variable, value)

    def start(self) -> SyncAppUnderTest:
        """Start the app of the folder: no process, but the same app in memory, and in virtual time."""
        self._app = self._stack.enter_context(start_sync(Path.cwd()))
        return self._app

    def run(self, step: Step) -> None:
        """Run a command. It must print what the page shows, if it shows anything."""
        line = self._placeholders.filled(step.line)
        printed = self._run(line, Step(line, "").words)
        if printed is None:
            return
        # What somebody sees who looks at a status too early: the page shows it when it is done.
        is_read = line.startswith("curl ") and not re.search(" -[dX] ", line)
        for _ in range(60 if is_read else 0):
            if self._placeholders.matches(step.output or "…", printed):
                break
            self.app.advance(seconds=1)
            printed = self._run(line, Step(line, "").words) or ""
        assert self._placeholders.matches(step.output or "…", printed), f"$ {line}\n{printed}"
        self._placeholders.remember(printed)

    def _run(self, line: str, words: list[str]) -> str | None:
        """Run a command. Return what it prints, or None if it is not run."""
        match words:
            case ["cd", folder]:
                self._monkeypatch.chdir(folder)
            case ["make", "run"]:
                for name in ("function_app.py", "host.json", "local.settings.json"):
                    shutil.copy(ROOT / name, name)
                self.start()
            case ["pip", "install", *packages]:
                # Each is a file of the app, or a package that somebody has installed beside azemu.
                unknown = [name for name in packages if not (name == "path/to/azemu" or Path(name).is_file())]
                assert unknown_packages(unknown) == []
            case _ if any(line.startswith(start) for start in NOT_RUN):
                assert [word for word in words if word.startswith("tests/") and "_test.py" in word] == []
            case ["azemu", "start", *options]:
                parser_of(_command("start").parse_options).parse([word for word in options if word != "&"])
                self.start()
            case ["azemu", *arguments]:
                return self._called(arguments)
            case ["curl", *arguments]:
                return self._sent(arguments)
            case ["python", *arguments, ">", file]:
                with open(file, "wb") as target:
                    subprocess.run([sys.executable, *arguments], stdout=target, check=True)
            case _:
                raise AssertionError(f"no test knows the command {line}")
        return None

    def _called(self, words: list[str]) -> str:
        command = _command(*words)
        takes_port = "--port" in parser_of(command.parse_options)._option_string_actions
        if self._app is not None and takes_port:
            # Outside of tests, the command finds the host of the folder.
            words = [*words, "--port", self._port]
        self._capsys.readouterr()
        code = main(words)
        printed, error = self._capsys.readouterr()
        # A check of an app with a mistake ends with 1.
        assert code == 0 or words[0] == "check", error
        self._settle()
        # What is not the result goes to the standard error output.
        return printed or error

    def _sent(self, words: list[str]) -> str:
        request = curl_of(words)
        body = None if request.body is None else request.body.replace("http://localhost:7071", self.app.url)
        answer = self.app.request(request.method, request.target, headers=request.headers, data=body)
        self._settle()
        printed = f"{_head(answer)}\n{answer.text}" if request.shows_head else answer.text
        return re.sub(rf"localhost:{self._port}|127\.0\.0\.1:{self._port}", "localhost:7071", printed)

    def _settle(self) -> None:
        if self._app is not None:
            self._app.settle()


def _command(*words: str) -> Command:
    found = find_command(words)
    assert found is not None, words
    return found


def _head(answer: Answer) -> str:
    status = HTTPStatus(answer.status)
    lines = [f"HTTP/1.1 {status} {status.phrase}", *(f"{name}: {value}" for name, value in answer.headers.items()), ""]
    return "\n".join(lines)


def _hello(reader: Reader) -> None:
    write_app(Path.cwd(), HELLO)


def _flow(reader: Reader) -> None:
    write_app(Path.cwd(), DURABLE_APP, FLOW)
    app = reader.start()
    app.wait(app.client.start_new("flow", instance_id="order-1"))


def _waiting(reader: Reader) -> None:
    write_app(Path.cwd(), DURABLE_APP, WAITING)
    app = reader.start()
    app.client.start_new("order", instance_id="order-17")
    app.client.start_new("trip", instance_id="trip-3")
    app.settle()


def _approved(reader: Reader) -> None:
    write_app(Path.cwd(), APPROVED)
    app = reader.start()
    app.client.start_new("order", instance_id="order-17")
    app.settle()
    app.client.raise_event("order-17", "approve", {"approved": True})
    app.settle()


def _mistakes(reader: Reader) -> None:
    host = json.dumps({"version": "2.0", "functionTimeuot": "00:10:00", "extensionBundle": BUNDLE}, indent=2)
    app = APPROVED.replace("return paid", "return {**paid, 'at': time.time()}").lstrip()
    folder = write_app(Path.cwd(), app, host=host)
    (folder / "requirements.txt").write_text("azure-functions\nazure-functions-durable<2\n", encoding="utf-8")


def _stored(reader: Reader) -> None:
    hub = {"extensions": {"durableTask": {"hubName": "OrderProcessing"}}}
    folder = write_app(Path.cwd(), APPROVED, host=hub, settings={"AzureWebJobsStorage": "builtin:store.db"})
    with start_sync(folder, storage=folder / "store.db") as app:
        app.client.start_new("order", instance_id="order-17")
        app.settle()


ARRANGED: dict[str, Callable[[Reader], object]] = {
    "docs/check.md": _mistakes,
    "docs/costs.md": _hello,
    "docs/dashboard.md": _flow,
    "docs/history.md": _approved,
    "docs/how-to/storage.md": _stored,
    "docs/storage-file-format.md": _stored,
    "docs/why.md": _waiting,
    # It would be in the folder for temporary files.
    "samples/payments/README.md": lambda reader: reader.set("PAYMENTS_FILE", str(Path("payments.jsonl").absolute())),
    "docs/how-to/ci.md": _hello,
    "docs/how-to/several-hosts.md": _hello,
    "docs/migration/core-tools.md": _hello,
    "docs/migration/durable-task-scheduler.md": _hello,
    "docs/how-to/containers.md": _hello,
    "docs/observability.md": _hello,
    "docs/security.md": _hello,
}
