"""One target for each parser: how to call it with bytes, and which errors it may raise.

A target finds a defect when the parser raises any other error, among them RecursionError and MemoryError, when the
error has no text, or when the call takes longer than a second.
"""

from __future__ import annotations

import io
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

from aiohttp.test_utils import make_mocked_request
from azure.functions import meta
from multidict import CIMultiDict

from emulator.clock import SystemClock
from emulator.config.connections import parse_connection
from emulator.config.hostjson import read_host_json
from emulator.config.missing_settings import missing_settings_message
from emulator.config.settings import Settings, load_settings
from emulator.config.source_scan import scan_sources
from emulator.dotnet.json_reader import lenient_value, read_first, read_whole
from emulator.dotnet.json_values import lenient_object, read_object
from emulator.dotnet.json_writer import newtonsoft_text
from emulator.dotnet.query_values import parse_bool, parse_datetime, parse_double, parse_int
from emulator.dotnet.timespan import parse_timespan
from emulator.dotnet.token_text import indented
from emulator.durable.azurestorage.large import blob_name_of
from emulator.durable.azurestorage.messaging.wire import UnreadableMessage
from emulator.durable.azurestorage.messaging.wire import decode as decode_message
from emulator.durable.azurestorage.tracking.rows import UnreadableRow, read_event, read_tags
from emulator.durable.core.entities.messages import Release, Request
from emulator.durable.core.entities.scheduler import SchedulerState
from emulator.durable.core.replay.actions import CallHttp
from emulator.durable.core.replay.durable_http import next_poll
from emulator.durable.options import DurableTaskOptions
from emulator.errors import AppLoadError, ConfigurationError
from emulator.extensions.blobs.binding_paths import InvalidBlobPath, parse_blob_path
from emulator.extensions.blobs.trigger_messages import NoTriggerMessage, read_message
from emulator.extensions.blobs.trigger_path import InvalidTriggerPath, parse_trigger_path
from emulator.extensions.durable.management.api_request import ApiRequest, Query
from emulator.extensions.durable.management.list_query import (
    CONTINUATION_HEADER,
    page_headers,
    read_paging,
    read_statuses,
)
from emulator.extensions.durable.management.routing import find_target
from emulator.extensions.durable.protocol.orchestrators import UnreadableResponse, response_of
from emulator.extensions.http.response import ResponseRefused, check_length, text_response
from emulator.extensions.tables.entities import DefaultKeys, InvalidEntity, table_operation
from emulator.extensions.tables.filter_template import render_filter
from emulator.extensions.timers.local_time import local_zone
from emulator.extensions.timers.schedule import InvalidSchedule, occurrences, parse_schedule
from emulator.extensions.timers.status import InvalidStatus
from emulator.extensions.timers.status import decode as decode_status
from emulator.histories.document import UnreadableHistory
from emulator.histories.reading import read_histories
from emulator.host.event_grid_requests import InvalidEvents, events_in, validation_response
from emulator.host.expressions import BindingData, ExpressionError, parse_template
from emulator.host.http.callers import CallerRules
from emulator.host.http.keys.easyauth import principal_headers
from emulator.host.http.keys.secret_format import SecretsUnreadable, read_function_keys, read_host_secrets
from emulator.host.http.routing.constraints import parse_constraint
from emulator.host.http.routing.matching import match
from emulator.host.http.routing.paths import normalized_path, split_path
from emulator.host.http.routing.templates import TemplateError
from emulator.host.http.routing.templates import parse_template as parse_route
from emulator.host.http.server.limits import kestrel_rejection, origin_form
from emulator.host.http.server.requests import RequestBindingData, query_parameters
from emulator.host.http_options import HttpOptions
from emulator.ids import new_id
from emulator.instant import MIN_INSTANT, Instant
from emulator.polling.crash_recovery.receipt_journal import read_journal
from emulator.storage.filter_parser import InvalidFilter, parse_filter
from emulator.storage.filters import Compare
from emulator.storage.port import InvalidRequest, Row
from emulator.storage.rest.response_parser import ResponseParser
from emulator.storage.transfer.export_file import TransferFileError, read_header, read_records
from emulator.worker.cookie_dates import http_date
from emulator.worker.function_json import FunctionConfigurationError, read_function
from emulator.worker.http_values import response_data
from emulator.worker.port import HttpRequestData

LIMIT_SECONDS = 1.0
"""Processor time that a call may take for an input of 8 KB."""
MAX_INPUT_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """A parser. `seeds`: valid inputs to begin with. `allowed`: errors that it documents."""

    name: str
    call: Callable[[bytes], object]
    seeds: Sequence[bytes]
    allowed: tuple[type[Exception], ...]

    def check(self, data: bytes, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        """Parse an input. Raises what the parser must not raise, and AssertionError for the other defects."""
        seconds = self._seconds(data)
        if seconds >= limit_seconds:
            # On a busy machine one measurement can be several times too long.
            seconds = min(seconds, self._seconds(data))
        assert seconds < limit_seconds, f"{seconds:.1f} s for {len(data)} bytes"

    def _seconds(self, data: bytes) -> float:
        """Parse an input, check its error, and return the processor time."""
        started = time.thread_time()
        try:
            self.call(data)
        except self.allowed as error:
            text = str(error)
            assert text.strip(), f"{type(error).__name__} without a text"
            assert len(text) < 8 * MAX_INPUT_BYTES, f"{type(error).__name__} with a text of {len(text)} characters"
        return time.thread_time() - started


TARGETS: dict[str, Target] = {}
_Call = Callable[[bytes], object]


def target(*seeds: str | bytes, allowed: tuple[type[Exception], ...] = ()) -> Callable[[_Call], _Call]:
    """Register a function as the target of its name."""

    def register(call: _Call) -> _Call:
        name = call.__name__.replace("_", "-")
        encoded = [seed.encode() if isinstance(seed, str) else seed for seed in seeds]
        TARGETS[name] = Target(name, call, encoded, allowed)
        return call

    return register


def _text(data: bytes) -> str:
    # Lone surrogates as well: JSON escapes and .NET strings can contain them.
    return data.decode("utf-8", "surrogateescape")


def _folder() -> Path:
    """Return an empty folder for the files of a target, which is reused."""
    folder = Path(tempfile.gettempdir()) / f"azemu-fuzz-{_PROCESS}"
    folder.mkdir(exist_ok=True)
    return folder


# Created once: a new folder for each of a million inputs would be most of the time.
_PROCESS = tempfile.mkdtemp(prefix="azemu-fuzz-").rsplit("-", 1)[-1]

# Configuration ------------------------------------------------------------------------------------------------


@target(
    '{"version": "2.0", "extensions": {"http": {"routePrefix": "x"}, "queues": {"batchSize": 4}}}',
    '{"version": "2.0", "functionTimeout": "00:05:00", "logging": {"logLevel": {"default": "Information"}}, // c\n}',
    '{"version": "2.0", "retry": {"strategy": "fixedDelay", "maxRetryCount": 2, "delayInterval": "00:00:03"}}',
    '{"version": "2.0", "extensions": {"durableTask": {"hubName": "h", "storageProvider": {"partitionCount": 3}}}}',
    allowed=(ConfigurationError,),
)
def host_json(data: bytes) -> None:
    folder = _folder()
    (folder / "host.json").write_bytes(data)
    options, _ = read_host_json(folder, Settings({}, exported={}, root=folder), create=False)
    # Read when an app has functions of their kind.
    options.section(DurableTaskOptions)
    options.section(HttpOptions)


@target(
    '{"IsEncrypted": false, "Values": {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}, "Host": {"CORS": "*"}}',
    '{"Values": {"A": 1, "B": null}, "ConnectionStrings": {"C": {"ConnectionString": "x"}}, "Host": {"LocalHttpPort": 1}}',
    allowed=(ConfigurationError,),
)
def local_settings(data: bytes) -> None:
    folder = _folder()
    (folder / "local.settings.json").write_bytes(data)
    load_settings(folder, {}, overrides={})


@target(
    '{"scriptFile": "f.py", "bindings": [{"type": "httpTrigger", "name": "req", "direction": "in", "route": "a/{b}"}]}',
    '{"bindings": [], "retry": {"strategy": "fixedDelay", "maxRetryCount": 1, "delayInterval": "00:00:01"}}',
    allowed=(FunctionConfigurationError, AppLoadError),
)
def function_json(data: bytes) -> None:
    folder = _folder() / "function"
    folder.mkdir(exist_ok=True)
    (folder / "f.py").touch()
    (folder / "function.json").write_bytes(data)
    read_function(folder)


@target(
    '{"bindings": [{"type": "queueTrigger", "queueName": "%Q%", "connection": "C"}]}',
    '{"scriptFile": "f.py", "bindings": [{"x": "%A%"}]}',
)
def missing_settings(data: bytes) -> None:
    folder = _folder()
    (folder / "function").mkdir(exist_ok=True)
    (folder / "function" / "function.json").write_bytes(data)
    missing_settings_message(folder, Settings({}, exported={}, root=folder), {})


@target('import os\nos.environ["A"]\nos.getenv("B")\ntry:\n    os.environ["C"]\nexcept KeyError:\n    pass\n')
def source_scan(data: bytes) -> None:
    folder = _folder()
    script = folder / "scanned.py"
    script.write_bytes(data)
    scan_sources(folder, [script])


@target(
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=a2V5;EndpointSuffix=core.windows.net",
    "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://127.0.0.1",
    "BlobEndpoint=http://127.0.0.1:10000/a;QueueEndpoint=http://[::1]:1/a;SharedAccessSignature=sv=1&sig=x",
    "https://a.blob.core.windows.net?sv=1&sig=x",
    allowed=(ConfigurationError,),
)
def connection_string(data: bytes) -> None:
    parse_connection(_text(data), setting="AzureWebJobsStorage")


@target('{"name": "ada", "roles": ["a"], "claims": {"x": "y"}}', '{"userDetails": "a"}', allowed=(ConfigurationError,))
def client_principal(data: bytes) -> None:
    principal_headers("{" + _text(data).lstrip("{"), Path("/nowhere"))


# Functions ----------------------------------------------------------------------------------------------------


@target("ab|c", "x' or true or 'a|1", "'|'", "{b}|-1.5e3")
def table_filter_value(data: bytes) -> None:
    """A value in quotes stays the value of the comparison, whatever it is; one without them is not text."""
    quoted, _, plain = data.decode("utf-8", "replace").partition("|")
    values = BindingData({"a": quoted, "b": plain}, None, function="F", clock=SystemClock(), new_id=new_id)
    found = parse_filter(render_filter(_QUOTED, values)).parsed
    assert found == Compare("Name", "eq", quoted), found
    try:
        text = render_filter(_PLAIN, values)
    except ExpressionError:
        return
    assert "'" not in text
    assert " or " not in text.lower()


_QUOTED, _PLAIN = parse_template("Name eq '{a}'"), parse_template("Age gt {b}")


@target(
    '{"PartitionKey": "p", "RowKey": "r", "A": 1, "B": 1.5, "C": {"d": []}, "ETag": "*"}',
    '{"partitionkey": "p", "D": "2026-01-01T00:00:00Z", "E": 12345678901}',
    allowed=(InvalidEntity,),
)
def table_entity(data: bytes) -> None:
    table_operation(data, DefaultKeys("p", "r"))


@target("0 */5 * * * *", "0 0 9-17/2,20 * Jan,Feb Mon-Fri", "* * * * *", "1.02:03:04.5", allowed=(InvalidSchedule,))
def schedule(data: bytes) -> None:
    occurrences(parse_schedule(_text(data), local_zone("UTC")), Instant.parse("2026-02-28T23:59:59Z"), 3)


@target(
    "blobs/{name}.{ext}", "{queueTrigger}", "{a.b.c}-{DateTime:yyyy-MM}", "{rand-guid:N}", allowed=(ExpressionError,)
)
def binding_expression(data: bytes) -> None:
    parse_template(_text(data))


@target("c/{name}.txt", "%C%/a/{b}-{c}", allowed=(InvalidTriggerPath, ExpressionError))
def blob_trigger_path(data: bytes) -> None:
    text = _text(data)
    parse_trigger_path(text)


@target("c/a/b.txt", "https://a.blob.core.windows.net/c/b", "http://127.0.0.1:10000/a/c/b", allowed=(InvalidBlobPath,))
def blob_path(data: bytes) -> None:
    parse_blob_path(_text(data))


# HTTP ---------------------------------------------------------------------------------------------------------


@target("a/{b:int}/{*c}", "{a}-{b?}", "x/{d:regex(^\\d{{3}}$)}/{e=5}", allowed=(TemplateError,))
def route_template(data: bytes) -> None:
    parse_route(_text(data))


_ROUTES = [parse_route(text) for text in ("{a}/{b:int}", "{a}-{b}-{c}.json", "{x:datetime}/{y:double}/{*z}")]


@target("/a/12", "/%41-b-c.json", "/2026-01-02/1e5/x/y")
def request_path(data: bytes) -> None:
    path = normalized_path(_text(data))
    segments = split_path(path) if path is not None else None
    for route in _ROUTES if segments is not None else ():
        match(route, segments or [])


@target(
    "int|5",
    "range(1,10)|7",
    "regex(^a+$)|aaa",
    "datetime|2026-01-02",
    "guid|x",
    "decimal|1,000.5",
    allowed=(ValueError,),
)
def constraint(data: bytes) -> None:
    text, _, value = _text(data).rpartition("|")
    accepts = parse_constraint(text)
    try:
        accepts(value)
    except Exception as error:
        # Only the constraint may be wrong; a request has any value.
        raise AssertionError(f"{value[:40]!r} raises {error!r}") from error


_CALLERS = CallerRules({"localhost", "127.0.0.1"}, {"app.example"})


@target(
    "GET /api/a?b=c\nHost: localhost:7071\nAccept: text/html;q=0.9,*/*\nRange: bytes=0-9,-5\nOrigin: http://localhost:7071",
    "POST http://localhost/x\nHost: localhost\nX-Forwarded-Host: app.example:443\nOrigin: https://app.example\nX-Forwarded-Proto: https",
    'POST *\nHost: [::1]:7071\nSec-Fetch-Site: cross-site\nCookie: a=b; c="d"\nContent-Type: text/plain; charset=x',
)
def request_head(data: bytes) -> None:
    first, *lines = data.decode("utf-8", "surrogateescape").split("\n")
    method, _, path = first.partition(" ")
    fields = [line.partition(":") for line in lines]
    headers = CIMultiDict((name.strip() or "x", value.strip()) for name, _, value in fields)
    try:
        request = make_mocked_request(method, path or "/", headers)
    except ValueError:  # aiohttp refuses the target before azemu gets the request.
        return
    if kestrel_rejection(request) is None:
        _CALLERS.refusal(request)
        origin_form(request)


@target(
    '{"statusCode": 201, "headers": {"Content-Type": "text/html; charset=utf-8", "X-A": "b"}, "body": {"a": [1]}}',
    '{"body": null, "status": " 404 ", "headers": {"Set-Cookie": "a=b", "Content-Length": "3"}}',
    "text",
    allowed=(ResponseRefused,),
)
def function_response(data: bytes) -> None:
    check_length(text_response(data.decode("utf-8", "replace")), "GET")


@target("runtimeStatus=Failed,Running&top=5|MTI=", "top=-1&runtimeStatus=99|", allowed=(InvalidRequest,))
def list_query(data: bytes) -> None:
    text, _, token = _text(data).partition("|")
    query = Query.parse(text)
    read_statuses(query.all("runtimeStatus"))
    headers = {CONTINUATION_HEADER: token}
    paging = read_paging(ApiRequest("GET", "instances", query, headers, "http://x", "http://x/instances", ""))
    page_headers(paging.same_page)


@target("a=1&b=%20&a=2", "x=%FF;y")
def query_string(data: bytes) -> None:
    query_parameters(_text(data))


@target('{"name": "x", "nested": {"a": [1]}}', b"\xff\xfe{\x00}\x00")
def request_body(data: bytes) -> None:
    dict(RequestBindingData(HttpRequestData("POST", "http://x/", {}, {}, {}, data)))


@target('[{"id": "1", "eventType": "t", "data": {}}]', '{"specversion": "1.0", "id": "1"}', allowed=(InvalidEvents,))
def event_grid_events(data: bytes) -> None:
    events_in(data)


@target('[{"data": {"validationCode": "x"}}]', allowed=(InvalidEvents,))
def event_grid_validation(data: bytes) -> None:
    validation_response(data)


@target("instances/abc/raiseEvent/x", "orchestrators/F/id", "entities/@n/k", "instances/%2F")
def management_path(data: bytes) -> None:
    find_target(_text(data))


@target("a=b; Path=/; Max-Age=5; Expires=Wed, 21 Oct 2026 07:28:00 GMT; SameSite=lax", allowed=(TypeError, ValueError))
def response_cookie(data: bytes) -> None:
    try:
        jar: Any = SimpleCookie(_text(data))
    except Exception:  # The library refuses it, which is an error of the function.
        return
    response_data(
        {"status_code": meta.Datum("200", "string"), "headers": {}, "cookies": [jar], "body": meta.Datum(b"", "bytes")}
    )


@target("Wed, 21 Oct 2026 07:28:00 GMT", "2026-10-21T07:28:00+01:00", allowed=(ValueError,))
def cookie_date(data: bytes) -> None:
    http_date(_text(data))


# .NET's text forms --------------------------------------------------------------------------------------------


@target("01:02:03.5", "1.02:03:04", "-3", allowed=(ValueError,))
def timespan(data: bytes) -> None:
    parse_timespan(_text(data))


@target("true", "12", "1e5", "2026-01-02T03:04:05+14:00", "Wed, 21 Oct 2026 07:28:00 GMT", "0001-01-01T00:00:00+14:00")
def query_value(data: bytes) -> None:
    text = _text(data)
    for parse in (parse_bool, parse_int, parse_double, parse_datetime):
        parse(text)


@target("2026-01-02T03:04:05.1234567Z", allowed=(ValueError,))
def instant(data: bytes) -> None:
    Instant.parse(_text(data))


@target(
    '{"a": [1, -2.5e3, "x\\u0041", null, true]} // c', "{a: 'b', /* c */ c: NaN}", "new Date(5)", allowed=(ValueError,)
)
def newtonsoft_json(data: bytes) -> None:
    text = _text(data)
    lenient_value(text)
    read_first(text)
    value = read_whole(text)
    newtonsoft_text(value)
    indented(value)


@target('{"a": 1}', "[1", allowed=(ValueError,))
def json_object(data: bytes) -> None:
    lenient_object(data)
    read_object(data)


# Storage ------------------------------------------------------------------------------------------------------


@target(
    "PartitionKey eq 'p' and (Age ge 20 or not Active)",
    "T ge datetime'2026-01-01T00:00:00Z' or G eq guid'12345678-1234-1234-1234-123456789012' or B eq X'ff' or N lt 5L",
    allowed=(InvalidFilter,),
)
def table_filter(data: bytes) -> None:
    parse_filter(_text(data))


@target(
    '{"format":"azemu-storage","version":1,"id":"7","exportedAt":"2026-11-24T08:00:00+00:00","source":"S","blobs":"b",'
    '"items":[["queue","q"],["table","t"]]}\n{"begin":["queue","q"]}\n'
    '{"message":"x","id":"1","dequeueCount":0,"visibleAt":"2026-11-24T08:00:00+00:00"}\n{"begin":["table","t"]}\n'
    '{"row":["p","r",{"a":{"Edm.Int64":"5"},"b":{"Edm.Double":"nan"},"c":{"Edm.Guid":"x"}}]}\n'
    '{"blob":"b","contentType":"t","metadata":{},"content":"AA=="}\n{"end":true}\n',
    allowed=(TransferFileError,),
)
def export_file(data: bytes) -> None:
    file = io.BytesIO(data)
    read_header(file, Path("export"))
    list(read_records(file, Path("export")))


@target("host\n+\tq\t1\treceipt\n-\t1\n", "title\n")
def receipt_journal(data: bytes) -> None:
    path = _folder() / "journal"
    path.write_bytes(data)
    read_journal(path)


@target(
    '{"masterKey": {"name": "master", "value": "x", "encrypted": false}, "functionKeys": []}',
    allowed=(SecretsUnreadable,),
)
def host_secrets(data: bytes) -> None:
    read_host_secrets(_text(data))


@target('{"keys": [{"name": "default", "value": "x"}]}', '{"key": "x"}', allowed=(SecretsUnreadable,))
def function_secrets(data: bytes) -> None:
    read_function_keys(_text(data))


@target(
    '{"Last":"2026-01-01T00:00:00+01:00","Next":"2026-01-01T00:05:00","LastUpdated":"0001-01-01T00:00:00"}',
    allowed=(InvalidStatus,),
)
def timer_status(data: bytes) -> None:
    decode_status(data, local_zone("Europe/Berlin"))


@target("eyJUeXBlIjoiQmxvYlRyaWdnZXIifQ==", allowed=(NoTriggerMessage,))
def blob_trigger_message(data: bytes) -> None:
    read_message(_text(data))


@target("http://127.0.0.1:10000/a/hub-largemessages/x%20y.json.gz", "https://[::1]/a")
def payload_reference(data: bytes) -> None:
    blob_name_of(_text(data))


@target(
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: x\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    allowed=(ValueError,),
)
def storage_response(data: bytes) -> None:
    parser = ResponseParser(bodiless=False)
    # In two parts, as a network may deliver them.
    if parser.feed(data[: len(data) // 2]) is None and parser.feed(data[len(data) // 2 :]) is None:
        parser.end_of_connection()


# The task hub -------------------------------------------------------------------------------------------------


@target(
    '{"$type":"DurableTask.AzureStorage.MessageData","ActivityId":"a","TaskMessage":{"$type":"DurableTask.Core.TaskMessage",'
    '"Event":{"$type":"DurableTask.Core.History.ExecutionStartedEvent","OrchestrationInstance":{"InstanceId":"i","ExecutionId":"e"},'
    '"EventType":0,"Name":"F","Version":"","Input":"null","Tags":null,"EventId":-1,"IsPlayed":false,'
    '"Timestamp":"2026-01-01T00:00:00Z"},"SequenceNumber":0,"OrchestrationInstance":{"InstanceId":"i","ExecutionId":"e"}},'
    '"CompressedBlobName":null,"SequenceNumber":0,"Sender":{"InstanceId":"","ExecutionId":""}}',
    "eyJUYXNrTWVzc2FnZSI6bnVsbH0=",
    allowed=(UnreadableMessage,),
)
def task_message(data: bytes) -> None:
    decode_message(_text(data), received_at=MIN_INSTANT)


@target(
    '{"isDone": false, "actions": [[{"actionType": 0, "functionName": "A", "input": "1"}]], "output": null}',
    '{"isDone": true, "actions": [], "output": 1, "customStatus": {"a": 1}, "error": "x"}',
    '{"isDone": false, "actions": [{"actionType": 8, "httpRequest": {"method": "GET", "uri": "http://x"}}]}',
    allowed=(UnreadableResponse,),
)
def orchestrator_response(data: bytes) -> None:
    response_of(data.decode("utf-8", "replace"))


@target(
    '{"statusCode": 202, "headers": {"Location": "/a?b", "Retry-After": ["5"]}, "content": "x"}',
    '{"statusCode": 202, "headers": {"location": "http://[::1]/"}}',
)
def http_poll(data: bytes) -> None:
    call = CallHttp(method="GET", uri="http://localhost/x", headers={}, content=None, token_source=None, polls=True)
    next_poll(call, data.decode("utf-8", "replace"), timedelta(seconds=1))


@target(
    '{"EventType": "TaskCompleted", "EventId": -1, "_Timestamp": "2026-01-01T00:00:00Z", "TaskScheduledId": 1, "Result": "1"}',
    '{"EventType": "ExecutionStarted", "EventId": -1, "Name": "F", "OrchestrationInstance": "{\\"InstanceId\\": \\"i\\"}"}',
    allowed=(UnreadableRow,),
)
def history_row(data: bytes) -> None:
    try:
        columns = json.loads(data)
    except (ValueError, RecursionError):
        return
    # What tables can contain.
    if isinstance(columns, dict):
        values = {name: value for name, value in columns.items() if isinstance(value, str | int | float)}
        read_event(Row("p", "r", values))


@target('{"a": "b"}', "null", allowed=(UnreadableRow,))
def tags(data: bytes) -> None:
    read_tags(Row("p", "r", {"Tags": _text(data)}))


@target('{"op": "add", "signal": true, "input": "1", "id": "x", "instance": "i"}', allowed=(ValueError,))
def entity_request(data: bytes) -> None:
    Request.parse(_text(data))


@target('{"parent": "p", "id": "x"}', allowed=(ValueError,))
def entity_release(data: bytes) -> None:
    Release.parse(_text(data))


@target('{"exists": true, "state": "1", "queue": [{"op": "a", "id": "1"}], "lockedBy": "x"}', allowed=(ValueError,))
def entity_state(data: bytes) -> None:
    SchedulerState.parse(_text(data))


@target(
    '[{"PartitionKey": "i", "RowKey": "0", "EventType": "OrchestratorStarted", "_Timestamp": "2026-01-01T00:00:00Z"}]',
    '{"history": [{"EventType": 0, "EventId": -1, "Timestamp": "2026-01-01T00:00:00Z", "Name": "F"}]}',
    allowed=(UnreadableHistory,),
)
def recorded_history(data: bytes) -> None:
    path = _folder() / "history.json"
    path.write_bytes(data)
    read_histories(path)
