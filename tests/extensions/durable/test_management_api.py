"""Durable HTTP API beyond the conformance cases: azemu's own settings, RPC listener, several hubs and hosts."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from emulator.errors import ConfigurationError
from emulator.extensions.durable.services import STRICT_PURGE_SETTING
from tests.conformance import CONFORMANCE_APP, client_binding
from tests.running_apps import OPTION, PROFILE, RunningApp, copy_app, run_app
from tests.waiting import eventually

STORAGE_EXCEPTION = "DurableTask.AzureStorage.Storage.DurableTaskStorageException"

PLAIN_APP = """
import azure.functions as func
app = func.FunctionApp()

@app.route(route="hello", auth_level=func.AuthLevel.ANONYMOUS)
def hello(req: func.HttpRequest) -> str:
    return "hello"
"""

CLIENTS_APP = """
import azure.functions as func
import azure.durable_functions as df
app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.orchestration_trigger(context_name="context", orchestration="Renamed")
def function_name(context):
    return "done"

@app.route(route="other")
@app.generic_input_binding("client", type="durableClient", taskHub="%OTHER_HUB%", connectionName="OtherStorage")
def other(req: func.HttpRequest, client: str) -> str:
    return client
"""


async def ask(app: RunningApp, method: str, url: str, **request: Any) -> tuple[int, Any]:
    """Status and JSON body (None when empty) of an answer; `url` may be a path of the webhook."""
    async with app.session.request(method, url if "://" in url else f"{app.webhook}/{url}", **request) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if text else None


async def is_running(app: RunningApp, id: str) -> bool:
    """Whether the first episode of an instance has been saved."""
    _, status = await ask(app, "GET", f"instances/{id}")
    return bool(status["runtimeStatus"] == "Running")


async def answers(app: RunningApp, method: str, url: str, status: int, **request: Any) -> Any:
    """Repeat a request until it has this status. Return the body."""

    async def answer() -> tuple[Any] | None:
        found, body = await ask(app, method, url, **request)
        return (body,) if found == status else None

    return (await eventually(answer, f"{method} {url} with status {status}"))[0]


# The RPC listener ------------------------------------------------------------------------------------------------


async def test_a_second_host_gets_another_rpc_port(tmp_path: Path) -> None:
    try:
        taken = socket.create_server(("127.0.0.1", 17071))
    except OSError:
        taken = None  # somebody else has it, which does as well
    try:
        async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app")) as app:
            url = str((await client_binding(app))["rpcBaseUrl"])
            assert "17071" not in url
            assert await ask(app, "GET", f"{url}instances") == (200, [])
    finally:
        if taken is not None:
            taken.close()


async def test_an_app_without_durable_functions_has_no_rpc_listener_and_no_hub(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with run_app(tmp_path / "app", PLAIN_APP) as app, app.session.get(f"{app.url}/api/hello") as answer:
        assert await answer.text() == "hello"
    assert "RPC endpoint" not in caplog.text


# The binding -----------------------------------------------------------------------------------------------------


async def test_a_binding_names_its_hub_and_connection(tmp_path: Path) -> None:
    settings = {"OTHER_HUB": "Hub Two", "OtherStorage": "builtin:memory"}
    async with run_app(tmp_path / "app", CLIENTS_APP, settings=settings) as app:
        _, payload = await ask(app, "GET", f"{app.url}/api/other")
        assert (payload["taskHubName"], payload["connectionName"]) == ("Hub Two", "OtherStorage")
        url = payload["managementUrls"]["statusQueryGetUri"]
        assert "/instances/INSTANCEID?taskHub=Hub+Two&connection=OtherStorage&code=" in url
        assert url.endswith(payload["requiredQueryStringParameters"])


async def test_an_orchestration_may_have_another_name_than_its_function(tmp_path: Path) -> None:
    async with run_app(tmp_path / "app", CLIENTS_APP) as app:
        wait = {"timeout": "20", "pollingInterval": "0.05"}
        assert await ask(app, "POST", "orchestrators/renamed", params=wait) == (200, "done")
        status, body = await ask(app, "POST", "orchestrators/function_name")
        assert status == 400
        assert body["ExceptionMessage"].endswith("The following are the known orchestrator functions: 'Renamed'.")


# Hubs ------------------------------------------------------------------------------------------------------------


async def test_another_connection_has_its_own_instances(tmp_path: Path) -> None:
    settings = {"OtherStorage": f"builtin:{tmp_path / 'other.db'}"}
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app"), settings=settings) as app:
        status, body = await ask(app, "POST", "orchestrators/anything/i?connection=OtherStorage")
        assert status == 202  # nobody of this app works there, so nobody knows its functions
        assert "connection=OtherStorage&" in body["statusQueryGetUri"]
        assert (await ask(app, "GET", body["statusQueryGetUri"]))[1]["runtimeStatus"] == "Pending"
        assert (await ask(app, "GET", "instances/i"))[0] == 404


async def test_two_names_of_one_account_are_the_same_connection(tmp_path: Path) -> None:
    store = f"builtin:{tmp_path / 'store.db'}"
    settings = {"AzureWebJobsStorage": store, "Alias": store, f"{OPTION}storageProvider__connectionName": "Alias"}
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app"), settings=settings) as app:
        _, body = await ask(app, "POST", "orchestrators/hello_one/i?connection=AzureWebJobsStorage")
        assert "connection=AzureWebJobsStorage&" in body["statusQueryGetUri"]
        wait = {"timeout": "20", "pollingInterval": "0.05"}
        assert await ask(app, "POST", "orchestrators/hello_one", params=wait) == (200, "Hello Tokyo!")
        _, payload = await ask(app, "GET", f"{app.url}/api/binding")
        assert "connection=Alias&" in payload["managementUrls"]["statusQueryGetUri"]


# Settings of ours ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("strict", "status"), [("true", 400), ("false", 200)])
async def test_strict_purge_rejects_a_purge_without_terminal_statuses(tmp_path: Path, strict: str, status: int) -> None:
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app"), settings={STRICT_PURGE_SETTING: strict}) as app:
        await ask(app, "POST", "orchestrators/wait_for_approval/i")
        # An instance that is purged during its first episode comes back when the episode is saved.
        await eventually(lambda: is_running(app, "i"), "running instance")
        purge = {"createdTimeFrom": "2020-01-01", "runtimeStatus": "Running"}
        answered, body = await ask(app, "DELETE", "instances", params=purge)
        assert answered == status
        assert ("everything in the time window" in body.get("ExceptionMessage", "")) == (status == 400)
        assert (await ask(app, "GET", "instances/i"))[0] == (202 if status == 400 else 404)


async def test_empty_entities_are_removed_by_clean_entity_storage(tmp_path: Path) -> None:
    settings = {f"{OPTION}entityMessageReorderWindowInMinutes": "0"}
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app"), settings=settings) as app:
        await ask(app, "POST", "entities/counter/c?op=erase", json="null")
        await answers(app, "GET", "entities/counter/c", 200)
        nothing = {"numberOfEmptyEntitiesRemoved": 0, "numberOfOrphanedLocksRemoved": 0}
        assert await ask(app, "POST", "cleanEntityStorage?removeEmptyEntities=false") == (200, nothing)
        assert await ask(app, "POST", "cleanEntityStorage") == (200, nothing | {"numberOfEmptyEntitiesRemoved": 1})
        assert await ask(app, "GET", "instances") == (200, [])


async def test_profile_e26_has_no_endpoint_clean_entity_storage(tmp_path: Path) -> None:
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app"), settings={PROFILE: "e26"}) as app:
        assert await ask(app, "POST", "cleanEntityStorage") == (404, None)


@pytest.mark.parametrize("operation", ["terminate", "suspend", "resume"])
async def test_lifecycle_operations_on_entities_are_rejected(tmp_path: Path, operation: str) -> None:
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app")) as app:
        status, body = await ask(app, "POST", f"instances/@counter@a/{operation}")
    assert status == 400
    assert "@counter@a is an entity" in body["ExceptionMessage"]


async def test_unknown_profile_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r'AZEMU_DURABLE_HTTP_PROFILE is "e24".*default, e26'):
        async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app"), settings={PROFILE: "e24"}):
            pass


# Users -----------------------------------------------------------------------------------------------------------


async def test_plain_json_input_that_the_sdk_cannot_read_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app")) as app:
        await ask(app, "POST", "orchestrators/echo_input/good", json={"a": 1})
        assert "get_input()" not in caplog.text
        await ask(app, "POST", "orchestrators/echo_input/bad", json=[1])
        assert "Instance bad of echo_input was started with a plain JSON list" in caplog.text
        for name, text in (("text", '"Ada"'), ("empty", '""'), ("single", "'Ada'"), ("open", '"{\\"a\\": "')):
            await ask(app, "POST", f"orchestrators/echo_input/{name}", data=text, headers=JSON)
            assert f"Instance {name} of echo_input was started with a plain JSON string, whose text" in caplog.text
        assert 'Send a JSON object, or a JSON string that contains JSON text: "\\"Ada\\""' in caplog.text
        for name, text in (("encoded", '"\\"Ada\\""'), ("number", '"5"'), ("null", "null"), ("nothing", "")):
            await ask(app, "POST", f"orchestrators/echo_input/{name}", data=text, headers=JSON)
            assert f"Instance {name} of" not in caplog.text
        await ask(app, "POST", "entities/counter/c?op=add", json=5)
        assert 'The operation "add" of @counter@c was sent with a plain JSON int' in caplog.text
        await ask(app, "POST", "entities/counter/c?op=put", json="five")
        assert 'The operation "put" of @counter@c was sent with a plain JSON string, whose text is' in caplog.text
        await ask(app, "POST", "entities/counter/c?op=set", json="5")
        assert 'The operation "set" of @counter@c' not in caplog.text
        assert (await ask(app, "POST", "entities/conter/c?op=add"))[0] == 400
        assert 'The operation "add" of the entity conter with the key c is refused: The function ' in caplog.text


JSON = {"Content-Type": "application/json"}


async def test_client_operations_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app")) as app:
        wait = {"timeout": "20", "pollingInterval": "0.05"}
        await ask(app, "POST", "orchestrators/hello_one/i", params=wait)
        await ask(app, "POST", "instances/i/terminate")
        await ask(app, "POST", "entities/counter/c?op=add", json="1")
    assert "i: Function 'hello_one (Orchestrator)' scheduled. Reason: NewInstance." in caplog.text
    assert "Cannot terminate orchestration instance in the Completed state.. InstanceId: i." in caplog.text
    assert "@counter@c: Function 'counter (Entity)' scheduled. Reason: EntitySignal:add." in caplog.text


async def test_a_waiting_start_responds_when_the_instance_completes(tmp_path: Path) -> None:
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app")) as app:
        wait = {"timeout": "20", "pollingInterval": "0.02"}
        waiting = asyncio.create_task(ask(app, "POST", "orchestrators/wait_for_approval/i", params=wait))
        await answers(app, "POST", "instances/i/raiseEvent/Approval", 202, json=True)
        assert await waiting == (200, {"approved": True})


EXTREME_DATES = (
    *(
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59.9999999-14:00",
        "0000-00-00",
        "9999-99-99",
        "12/31/9999 23:59 -14:00",
    ),
    *("Mon, 01 Jan 0001 00:00:00 +1400", "Fri, 31 Dec 9999 23:59:59 -1400", f"Mon, 01 Jan 2024 00:00:00 +{'9' * 20}"),
    *(
        "2024-01-01T24:00:00",
        "2024-01-01T00:00:00+99:99",
        "1600-01-01",
        "9999-12-31T23:59:59.9999999Z",
        "9" * 3000,
        "\0",
    ),
)
EXTREME_NUMBERS = ("-1", "-2147483648", "2147483648", "9" * 5000, "1e308", "NaN", "Infinity", "1,,,0", "\u0661", "\0")
EXTREME_TOKENS = ("=", "AAAA", "////", "MTIzIDQ1Ng==", "AMKA", "7aCA", "A" * 8000)


@pytest.mark.parametrize("profile", ["default", pytest.param("e26", marks=pytest.mark.soak)])
async def test_extreme_dates_and_numbers_are_read_or_refused(tmp_path: Path, profile: str) -> None:
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app"), settings={PROFILE: profile}) as app:
        for date in EXTREME_DATES:
            for path, name in (("instances", "createdTime"), ("entities", "lastOperationTime")):
                for end in ("From", "To"):
                    status, body = await ask(app, "GET", path, params={name + end: date})
                    assert (status, body) == (200, []), (path, end, date)
            purge = {"createdTimeFrom": date, "createdTimeTo": date, "runtimeStatus": "Completed"}
            assert (await ask(app, "DELETE", "instances", params=purge))[0] in (400, 404), date
        of_storage = {200, 400} if profile == "default" else {200, 500}
        for path in ("instances", "entities"):
            for number in EXTREME_NUMBERS:
                assert (await ask(app, "GET", path, params={"top": number}))[0] in of_storage, (path, number)
            for token in EXTREME_TOKENS:
                status, _ = await ask(app, "GET", path, headers={"x-ms-continuation-token": token})
                assert status in of_storage - {200}, (path, token)
        for number in EXTREME_NUMBERS:
            assert (await ask(app, "GET", "instances", params={"runtimeStatus": number}))[0] in (200, 400), number
            wait = {"timeout": "0.1", "pollingInterval": number}
            assert (await ask(app, "POST", "orchestrators/hello_one", params=wait, data='""'))[0] in (200, 202, 400)


async def test_unusual_texts_of_clients_get_a_response(tmp_path: Path) -> None:
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app")) as app:
        await ask(app, "POST", "orchestrators/wait_for_approval/i")
        status, _ = await ask(app, "GET", "instances", params={"top": "9" * 5000})
        assert status == 200
        status, refused = await ask(app, "GET", "instances", headers={"x-ms-continuation-token": "é"})
        assert (status, refused["ExceptionType"]) == (400, "System.ArgumentException")
        status, refused = await ask(
            app, "POST", "instances/i/raiseEvent/Approval", data="²", headers={"Content-Type": "application/json"}
        )
        assert (status, refused["Message"]) == (400, "Invalid JSON content")
        await ask(app, "POST", "instances/i/terminate", params={"reason": "²"})
        assert (await answers(app, "GET", "instances/i", 200))["output"] == "²"


@pytest.mark.parametrize("profile", ["default", pytest.param("e26", marks=pytest.mark.soak)])
async def test_ids_that_no_table_can_have_are_refused_before_anything_is_sent(tmp_path: Path, profile: str) -> None:
    """The extension answers 500 when storage refuses the row. The message that it has sent then fails for ever."""
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app"), settings={PROFILE: profile}) as app:
        for id in ("i" * 2000, "%C3%A9" * 513, "i" * 480 + "^" * 17):
            requests = [
                ("GET", f"instances/{id}"),
                ("DELETE", f"instances/{id}"),
                ("POST", f"orchestrators/echo_input/{id}"),
            ]
            requests += [("POST", f"instances/{id}/{name}") for name in ("terminate", "rewind", "restart", "suspend")]
            requests += [("POST", f"instances/{id}/raiseEvent/x"), ("GET", f"entities/counter/{id}")]
            requests += [("POST", f"entities/counter/{id}?op=add"), ("DELETE", f"entities/counter/{id}")]
            for method, path in requests:
                answer = await app.request(method, f"/runtime/webhooks/durabletask/{path}", json=1)
                assert answer.status == 400, (method, path)
                assert "too long" in answer.text or "must not exceed 256 characters" in answer.text
        assert (await ask(app, "GET", "instances/" + "i" * 512))[0] == 404
        assert (await ask(app, "GET", "instances"))[1] == []
