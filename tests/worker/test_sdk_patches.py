"""Each patch of the SDK is still needed by the installed release, still works, and is skipped if its place is gone."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import sys
import warnings
from types import ModuleType
from typing import Any

import pytest

from emulator.worker.sdk_patches import (
    apply_sdk_patches,
    client_requests,
    entity_errors,
    history_timestamps,
    http_sessions,
    quiet_warnings,
)
from tests.sdk_releases import DURABLE, FUNCTIONS, needs
from tests.worker.apps import Load, value_of
from tests.worker.apps import text as text_datum

# The SDK keeps its session since this release.
WITH_SESSION = needs(DURABLE, "1.5.0")
# azure-functions decodes values without a type since this release.
DECODING = needs(FUNCTIONS, "1.26.0")
WITH_DURABLE = needs(DURABLE, "1.0.0")


def unpatched(name: str) -> ModuleType:
    """Execute the module once more, so that it is as the SDK has it, whatever earlier tests have patched."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@WITH_SESSION
@DECODING
def test_all_patches_are_applied_to_imported_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    names = (http_sessions.MODULE, history_timestamps.MODULE, entity_errors.MODULE, *quiet_warnings.MODULES)
    for name in names:
        monkeypatch.setitem(sys.modules, name, unpatched(name))
    apply_sdk_patches()
    apply_sdk_patches()
    sessions, history, entities, *warners = (sys.modules[name] for name in names)
    assert isinstance(sessions._get_session.__self__, http_sessions.SessionPerLoop)
    assert hasattr(history.dt_parse, "cache_info")
    # Applied twice, the wrapper is there once.
    assert not hasattr(entities.Entity.__init__.__wrapped__, "__wrapped__")
    assert all(isinstance(module.warnings, quiet_warnings.DebugLog) for module in warners)


def test_modules_that_the_app_has_not_imported_are_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (http_sessions.MODULE, history_timestamps.MODULE, entity_errors.MODULE, *quiet_warnings.MODULES):
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = set(sys.modules)
    apply_sdk_patches()
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    "patch", [http_sessions.patch, history_timestamps.patch, quiet_warnings.patch, entity_errors.patch]
)
def test_module_without_the_replaced_attribute_is_left_alone(patch: Any) -> None:
    module = ModuleType("changed")
    before = dict(vars(module))
    assert not patch(module)
    assert vars(module) == before


# http_sessions ---------------------------------------------------------------------------------------------------


def sessions_of_two_loops(module: ModuleType) -> list[Any]:
    async def open_session() -> Any:
        session = await module._get_session()
        assert await module._get_session() is session
        return session

    async def close(session: Any) -> None:
        await session.close()

    with asyncio.Runner() as first, asyncio.Runner() as second:
        sessions = [first.run(open_session()), second.run(open_session())]
        for runner, session in zip((first, second), sessions, strict=True):
            runner.run(close(session))
    return sessions


@WITH_SESSION
def test_sdk_shares_one_session_between_loops() -> None:
    first, second = sessions_of_two_loops(unpatched(http_sessions.MODULE))
    assert first is second


@WITH_SESSION
def test_patched_sdk_has_a_session_per_loop() -> None:
    module = unpatched(http_sessions.MODULE)
    assert http_sessions.patch(module)
    first, second = sessions_of_two_loops(module)
    assert first is not second


@WITH_SESSION
def test_patched_session_is_closed_and_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    module = unpatched(http_sessions.MODULE)
    monkeypatch.setitem(sys.modules, http_sessions.MODULE, module)
    http_sessions.patch(module)

    async def main() -> None:
        first = await module._get_session()
        await http_sessions.close_session_of_this_loop()
        assert first.closed
        second = await module._get_session()
        await module._handle_request_error()
        assert second.closed
        await http_sessions.close_session_of_this_loop()

    asyncio.run(main())


# history_timestamps ----------------------------------------------------------------------------------------------


@WITH_DURABLE
def test_sdk_parses_a_timestamp_for_every_event(monkeypatch: pytest.MonkeyPatch) -> None:
    module = unpatched(history_timestamps.MODULE)
    texts: list[str] = []
    parse = module.dt_parse

    def recorded_parse(text: str) -> Any:
        texts.append(text)
        return parse(text)

    monkeypatch.setattr(module, "dt_parse", recorded_parse)
    events = [module.HistoryEvent(12, -1, False, "2026-03-01T12:00:00.1234567Z") for _ in range(3)]
    assert len(texts) == 3
    assert events[0].timestamp == events[2].timestamp


@WITH_DURABLE
def test_patched_sdk_parses_equal_timestamps_once() -> None:
    module = unpatched(history_timestamps.MODULE)
    assert history_timestamps.patch(module)
    events = [module.HistoryEvent(12, -1, False, "2026-03-01T12:00:00.1234567Z") for _ in range(3)]
    assert (module.dt_parse.cache_info().misses, module.dt_parse.cache_info().hits) == (1, 2)
    assert events[0].timestamp == parse_without_cache("2026-03-01T12:00:00.1234567Z")


def parse_without_cache(text: str) -> Any:
    return unpatched(history_timestamps.MODULE).dt_parse(text)


# quiet_warnings --------------------------------------------------------------------------------------------------


def early_completion(executor_module: ModuleType) -> None:
    """Let the SDK process the completion of a task that the orchestrator has not scheduled yet."""
    executor = executor_module.TaskOrchestrationExecutor()
    executor.context = type("Context", (), {"open_tasks": {}, "deferred_tasks": {}})()
    event = type("Event", (), {"TaskScheduledId": 7})()
    executor.set_task_value(event, True, "TaskScheduledId")


def value_without_type(codec_module: ModuleType) -> None:
    assert codec_module.df_loads("1") == 1


WARNERS = [
    pytest.param(
        quiet_warnings.MODULES[0], early_completion, "Potential duplicate Task completion", marks=WITH_DURABLE
    ),
    pytest.param(quiet_warnings.MODULES[1], value_without_type, "without expected_type", marks=DECODING),
]


@pytest.mark.parametrize(("name", "use", "text"), WARNERS)
def test_sdk_warns_during_normal_work(name: str, use: Any, text: str) -> None:
    module = unpatched(name)
    with pytest.warns(Warning, match=text):
        use(module)


@pytest.mark.parametrize(("name", "use", "text"), WARNERS)
def test_patched_sdk_logs_instead(name: str, use: Any, text: str, caplog: pytest.LogCaptureFixture) -> None:
    module = unpatched(name)
    assert quiet_warnings.patch(module)
    with warnings.catch_warnings(), caplog.at_level("DEBUG"):
        warnings.simplefilter("error")
        use(module)
    [record] = [record for record in caplog.records if record.name == quiet_warnings.__name__]
    assert record.levelname == "DEBUG"
    assert text in record.getMessage()


# entity_errors ---------------------------------------------------------------------------------------------------

ENTITY = """
import azure.durable_functions as df

app = df.DFApp()

@app.entity_trigger(context_name="context")
def counter(context):
    if context.operation_name == "add":
        raise KeyError("total")
    context.set_result(1)
"""
BATCH = {
    "self": {"name": "counter", "key": "a"},
    "exists": False,
    "state": None,
    "batch": [{"name": name, "input": "1", "isSignal": False, "id": name} for name in ("get", "add")],
}


@WITH_DURABLE
def test_sdk_keeps_only_the_message_of_a_failed_operation() -> None:
    def fail(context: Any) -> None:
        raise KeyError("total")

    handle = unpatched(entity_errors.MODULE).Entity.create(fail)
    [result, _] = json.loads(handle(json.dumps(BATCH)))["results"]
    assert result["isError"]
    assert "KeyError" not in result["result"]


async def test_failed_operation_is_logged_with_its_line_and_its_result_is_unchanged(load: Load) -> None:
    app = await load(ENTITY)
    returned = json.loads(value_of(await app.call("counter", context=text_datum(json.dumps(BATCH)))))
    assert [(result["isError"], result["result"]) for result in returned["results"]] == [
        (False, "1"),
        (True, "\"'total'\""),
    ]
    [line] = app.logs
    assert line.message.startswith("The operation 'add' of the entity with the key 'a' failed. KeyError: 'total' (")
    assert line.message.endswith("function_app.py, line 9, in counter)")
    assert line.level == logging.ERROR


# client_requests -------------------------------------------------------------------------------------------------


class Response:
    def __init__(self, body: bytes) -> None:
        self.status = 202
        self.body = body

    def json(self) -> Any:
        return {"id": "i1"}


@WITH_DURABLE
async def test_client_sends_its_requests_with_the_given_function() -> None:
    from azure.durable_functions.models.DurableOrchestrationClient import DurableOrchestrationClient

    # Without __init__, which needs the binding's payload: the three attributes are set there.
    client = DurableOrchestrationClient.__new__(DurableOrchestrationClient)
    for name in ("_post_async_request", "_get_async_request", "_delete_async_request"):
        setattr(client, name, None)
    sent: list[tuple[str, str, dict[str, Any]]] = []

    async def send(method: str, url: str, **options: Any) -> Response:
        sent.append((method, url, options))
        return Response(b"" if method == "GET" else b"{}")

    client_requests.redirect_requests(client, send)
    assert await client._post_async_request("/a", {"x": 1}, trace_parent="00-1") == [202, {"id": "i1"}]
    assert await client._get_async_request("/b", "inv") == [202, ""]
    assert await client._delete_async_request("/c") == [202, {"id": "i1"}]
    assert sent == [
        ("POST", "/a", {"headers": {"traceparent": "00-1"}, "json": {"x": 1}}),
        ("GET", "/b", {"headers": {"X-Azure-Functions-InvocationId": "inv"}}),
        ("DELETE", "/c", {"headers": {}}),
    ]


@WITH_DURABLE
def test_client_of_the_installed_sdk_has_the_replaced_attributes() -> None:
    import inspect

    from azure.durable_functions.models.DurableOrchestrationClient import DurableOrchestrationClient

    source = inspect.getsource(DurableOrchestrationClient.__init__)
    for name in ("_post_async_request", "_get_async_request", "_delete_async_request"):
        assert f"self.{name}" in source


def test_client_without_the_replaced_attributes_is_left_alone() -> None:
    client = type("Client", (), {})()
    client_requests.redirect_requests(client, lambda *_, **__: None)  # type: ignore[arg-type]
    assert vars(client) == {}
