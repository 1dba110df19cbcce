"""Hosts that are killed while they process orders, and started again: every order completes once, within a minute.

Without crash recovery the locks and leases of a killed host would last several minutes, longer than these tests wait.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.processes import PROJECT, Running, get, get_json, started
from tests.running_apps import write_app
from tests.storage.bench import unique
from tests.waiting import PATIENCE_SECONDS, eventually_sync

KILLED = "^.*The previous host was killed while it was processing work items"


# The shop ----------------------------------------------------------------------------------------------------


@dataclass
class Provider:
    """Payment provider that responds when `open` is set. `asked`: idempotency keys of its requests."""

    asked: queue.Queue[str] = field(default_factory=queue.Queue)
    open: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def next_request(self) -> str:
        return self.asked.get(timeout=PATIENCE_SECONDS)

    @contextmanager
    def serving(self) -> Iterator[Provider]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                key = self.headers["Idempotency-Key"]
                provider.asked.put(key)
                provider.open.wait()
                with suppress(ConnectionError):  # The host that sent the request may have been killed.
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(json.dumps({"reference": f"ref-{key}"}).encode())

            def log_message(self, *args: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            self.url = f"http://127.0.0.1:{server.server_port}/"
            try:
                yield self
            finally:
                self.open.set()
                server.shutdown()
                thread.join()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider().serving() as provider:
        yield provider


@dataclass
class Shop:
    """Copy of the repository's function_app.py in its own folder."""

    folder: Path
    options: Sequence[str]
    settings: dict[str, str]

    def open(self, *options: str) -> AbstractContextManager[Running]:
        return started(self.folder, *self.options, *options, env=self.settings)


@pytest.fixture(params=["builtin", pytest.param("azurite", marks=pytest.mark.azurite)])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    if request.param == "builtin":
        return new_shop(tmp_path, "--storage", f"builtin:{tmp_path / 'storage.db'}")
    return new_shop(tmp_path, AzureWebJobsStorage=request.getfixturevalue("azurite"))


# The host does the same on both stores.
BUILTIN_STORE = pytest.mark.parametrize(
    "shop",
    ["builtin", pytest.param("azurite", marks=[pytest.mark.azurite, pytest.mark.soak])],
    indirect=True,
)


def new_shop(tmp_path: Path, *options: str, **settings: str) -> Shop:
    folder = write_app(tmp_path / "shop", (PROJECT / "function_app.py").read_text(encoding="utf-8"))
    shutil.copyfile(PROJECT / "host.json", folder / "host.json")
    hub = {"AzureFunctionsJobHost__extensions__durableTask__hubName": unique("Orders")}
    return Shop(folder, options, {**hub, **settings})


@dataclass
class Orders:
    """HTTP client for the orders of a running shop."""

    origin: str

    @classmethod
    def of(cls, azemu: Running) -> Orders:
        return cls(azemu.url().split("/api/")[0])

    def place(self, id: str) -> None:
        """Send an order and check that it was accepted."""
        order = {"id": id, "customer": "ada@example.com", "items": [{"sku": "book", "quantity": 1, "price": 12.5}]}
        request = urllib.request.Request(
            f"{self.origin}/api/orders", json.dumps(order).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            assert answer.status == 202

    def completed(self, id: str) -> Any:
        """Wait until the order's workflow has ended. Return its status with the history."""
        url = f"{self.origin}/runtime/webhooks/durabletask/instances/order-{id}?showHistory=true&showHistoryOutput=true"

        def status_at_the_end() -> Any:
            status = get_json(url)
            return None if status["runtimeStatus"] in ("Pending", "Running") else status

        return eventually_sync(status_at_the_end, f"end of the order {id}", every=0.1)


def check(status: Any) -> None:
    """Check that the order was confirmed and every step is in the history once."""
    assert status["output"]["status"] == "confirmed", status
    assert [(event["EventType"], event.get("FunctionName")) for event in status["historyEvents"]] == [
        ("ExecutionStarted", "process_order"),
        ("TaskCompleted", "validate_order"),
        ("TaskCompleted", "check_inventory"),
        ("TaskCompleted", "process_payment"),
        ("TaskCompleted", "send_confirmation"),
        ("ExecutionCompleted", None),
    ]


# Its ends ----------------------------------------------------------------------------------------------------


def test_order_completes_once_if_the_host_is_killed_during_payment(shop: Shop, provider: Provider) -> None:
    shop.settings["PAYMENT_URL"] = provider.url
    with shop.open("--no-reload") as azemu:
        Orders.of(azemu).place("o-1")
        assert provider.next_request() == "o-1"
        azemu.process.kill()
    provider.open.set()
    with shop.open("--no-reload") as azemu:
        azemu.wait_for(KILLED)
        status = Orders.of(azemu).completed("o-1")
        azemu.interrupt()
        assert azemu.wait() == 0
    check(status)
    assert status["output"]["charged"] == "12.50"
    # The activity ran a second time. The same key tells the provider that it is the same payment.
    assert provider.next_request() == "o-1"
    assert provider.asked.empty()


# Each takes many seconds; that no start is lost is also tested call by call (test_crash_anywhere.py).
@pytest.mark.parametrize(
    ("shop", "mode"),
    [
        pytest.param("builtin", (), marks=pytest.mark.soak),
        pytest.param("azurite", ("--no-reload",), marks=[pytest.mark.azurite, pytest.mark.soak]),
        pytest.param("builtin", ("--no-reload",), marks=pytest.mark.soak),
        pytest.param("azurite", (), marks=[pytest.mark.azurite, pytest.mark.soak]),
    ],
    indirect=["shop"],
)
def test_orders_complete_after_repeated_kills(shop: Shop, mode: tuple[str, ...]) -> None:
    names = []
    for day, last_words in enumerate(("Order .* accepted", "Executed 'Functions.validate_order'", "Confirmation to")):
        with shop.open(*mode) as azemu:
            orders = Orders.of(azemu)
            placed = [f"o-{day}-{number}" for number in range(4)]
            for name in placed:
                orders.place(name)
            names += placed
            azemu.wait_for(last_words)
            azemu.process.kill()
    with shop.open(*mode) as azemu:
        orders = Orders.of(azemu)
        for name in names:
            check(orders.completed(name))
        azemu.interrupt()
        assert azemu.wait() == 0


@BUILTIN_STORE
def test_restart_after_a_change_loses_and_repeats_nothing(shop: Shop, provider: Provider) -> None:
    shop.settings["PAYMENT_URL"] = provider.url
    with shop.open() as azemu:
        orders = Orders.of(azemu)
        orders.place("o-1")
        assert provider.next_request() == "o-1"
        code = shop.folder / "function_app.py"
        code.write_text(f"{code.read_text()}\n# Changed.\n")
        azemu.wait_for("File change of type 'Changed' detected for 'function_app.py'")
        provider.open.set()
        check(orders.completed("o-1"))
        azemu.interrupt()
        assert azemu.wait() == 0
    assert provider.asked.empty()
    assert "killed" not in azemu.output


@pytest.mark.azurite
@pytest.mark.soak
@pytest.mark.usefixtures("usual_ports")
def test_azurite_stops_after_the_host(tmp_path: Path, provider: Provider) -> None:
    shop = new_shop(tmp_path, AzureWebJobsStorage="UseDevelopmentStorage=true", PAYMENT_URL=provider.url)
    with shop.open() as azemu:
        Orders.of(azemu).place("o-1")
        assert provider.next_request() == "o-1"
        azemu.interrupt()
        azemu.wait_for("^Stopping the host")
        provider.open.set()
        assert azemu.wait() == 0
    assert "does not answer" not in azemu.output
    with shop.open() as azemu:
        check(Orders.of(azemu).completed("o-1"))
        azemu.interrupt()
        assert azemu.wait() == 0
    assert provider.asked.empty()


@pytest.mark.azurite
@pytest.mark.usefixtures("usual_ports")
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for Azurite's process in /proc")
def test_killed_azurite_is_restarted_together_with_the_host(tmp_path: Path) -> None:
    shop = new_shop(tmp_path, AzureWebJobsStorage="UseDevelopmentStorage=true")
    with shop.open() as azemu:
        orders = Orders.of(azemu)
        orders.place("o-1")
        orders.completed("o-1")
        kill_process_of(shop.folder / ".azurite")
        azemu.wait_for(r"^Azurite ended unexpectedly \(killed by SIGKILL\)\. Restarting it\.")
        azemu.wait_for("^Restarting the host.$")
        azemu.wait_for("Worker process started and initialized")
        orders.place("o-2")
        check(orders.completed("o-2"))
        azemu.interrupt()
        assert azemu.wait() == 0


def kill_process_of(data: Path) -> None:
    if sys.platform == "win32":
        raise OSError("Windows has no /proc")
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(data).encode() in command.read_bytes():
                os.kill(int(command.parent.name), signal.SIGKILL)
                return
    pytest.skip("another Azurite answers at the usual ports")


MORTAL = """
import os
import signal
from pathlib import Path

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="begin")
@app.durable_client_input(client_name="client")
async def begin(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    return func.HttpResponse(await client.start_new("life", "only"))


@app.orchestration_trigger(context_name="context")
def life(context: df.DurableOrchestrationContext):
    return (yield context.call_activity("live"))


@app.activity_trigger(input_name="nothing")
def live(nothing: str) -> int:
    lives = Path("lives.txt")
    lives.write_text((lives.read_text() if lives.exists() else "") + "I")
    if lives.read_text() == "I":
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return len(lives.read_text())
"""


def test_work_of_a_crashed_host_continues_after_its_restart(tmp_path: Path) -> None:
    app = write_app(tmp_path, MORTAL)
    with started(app, "--storage", "builtin") as azemu:
        get(azemu.url())
        azemu.wait_for("^The host ended unexpectedly")
        azemu.wait_for(KILLED)
        azemu.wait_for("Executed 'Functions.live'")
        azemu.wait_for("Executed 'Functions.life' ")
        azemu.interrupt()
        assert azemu.wait() == 0
    assert (tmp_path / "lives.txt").read_text() == "II"
